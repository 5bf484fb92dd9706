"""A state that holds what no merge wrote: never taken for a record that breaks the code, and no end of a worker."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import pytest

from adapters.redis import Client
from schemas.activity import SEARCHES, pack_searches
from schemas.events import Erased, Feedback, LearnerEvent, ProfileUpdated, Rated
from schemas.meta import HEADER_FIELD
from schemas.pending import Pending, pack_pending
from schemas.registers import Rank
from stream.activity import ActivityUpdate, merge_activity
from stream.halves import PoisonError, sent
from stream.merge import DAMAGED, LearnerUpdate, MergeAnswer, Run, Wanted, merge_run
from stream.refresh import Refresher
from stream.view import ShardView
from tests.reference import Logged
from tests.served import KEYS, Log, enrolled, listed, marks, serving
from tests.shard_state import contents, run_of
from tests.strategies import LATE_MS

COMMON: Final[dict[str, Any]] = {"user_id": "u", "occurred_at": 9}
NEWS: Final = (
    enrolled("other", "c01"),
    Rated(event_id="1", course_id="c00", value=4, review="fine", **COMMON),
    Feedback(event_id="2", course_id="c00", value="useful", **COMMON),
    ProfileUpdated(event_id="3", interests=("sql",), **COMMON),
)


@pytest.fixture
def client(any_client: Client) -> Client:
    """Use each server that may hold the state: they say in different ways what a script ran into."""
    return any_client


@pytest.fixture
async def log(client: Client, view: ShardView) -> Log:
    """Write to the shard, in which a learner has something of each kind."""
    log = Log(client, view)
    await log.append(enrolled("u", "c00"), *NEWS[1:])
    return log


async def merged(client: Client, view: ShardView, log: Log, *events: LearnerEvent) -> MergeAnswer:
    """Merge what comes next in the log, as the agent does."""
    first = len(log.entries)
    entries = [*log.entries, *(Logged(event, LATE_MS) for event in events)]
    return await merge_run(client, view, run_of(entries, first, len(entries) - 1), Wanted.FIRSTS)


async def set_to_text(client: Client, *keys: str) -> None:
    for key in keys:
        await client.delete(key)
        await client.set(key, "of another type")


@pytest.mark.parametrize(
    "key",
    [KEYS.history("u"), KEYS.feedback("u"), KEYS.profile("u"), KEYS.counts, KEYS.dirty, KEYS.learners],
    ids=["history", "feedback", "profile", "counts", "dirty", "learners"],
)
@pytest.mark.parametrize("event", [NEWS[1:], (Erased(event_id="4", **COMMON),)], ids=["events", "erasure"])
async def test_a_key_of_another_type_is_damage_and_nothing_is_written(
    client: Client, view: ShardView, log: Log, key: str, event: Sequence[LearnerEvent]
) -> None:
    """There is no roll-back: the last learner's key is read before the first learner's is written."""
    later = [Rated(event_id="5", course_id="c00", value=5, user_id="u", occurred_at=10)]
    await set_to_text(client, key)
    before = await contents(client)
    assert (await merged(client, view, log, NEWS[0], *event, *later)).status == DAMAGED
    assert await contents(client) == before


CELLS: Final = {
    "cut in the stamp": b"\0" * 5,
    "cut behind the stamp": b"\0" * 7 + b"\3" + b"\0" * 16,
    "cut before the length": b"\0" * 7 + b"\6" + b"\0" * 17,
    "cut in the text": b"\0" * 7 + b"\6" + b"\0" * 16 + b"\0\4fin",
    "of no rank": b"\0" * 24,
    "of a rank too great": b"\0" * 7 + b"\15" + b"\0" * 18,
    "the second cut": b"\0" * 7 + b"\1" + b"\0" * 17,
}


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
async def test_a_record_that_is_cut_short_is_damage_and_nothing_is_written(
    client: Client, view: ShardView, log: Log, cell: bytes
) -> None:
    for event in (NEWS[1:], (Erased(event_id="4", **COMMON),)):
        for key, field in ((KEYS.history("u"), "c00"), (KEYS.feedback("u"), "c00"), (KEYS.history("u"), HEADER_FIELD)):
            whole: Any = await client.hget(key, field)
            await client.hset(key, field, cell)
            before = await contents(client)
            later = Feedback(event_id="5", course_id="c00", value="none", user_id="u", occurred_at=10)
            assert (await merged(client, view, log, NEWS[0], *event, later)).status == DAMAGED
            assert await contents(client) == before
            await client.hset(key, field, whole)
    assert (await merged(client, view, log, NEWS[0], *event)).status == "OK"


async def test_what_breaks_the_script_is_no_damage(client: Client, view: ShardView, log: Log) -> None:
    run = Run(4, 4, {"u": LearnerUpdate({"c00": b"\0" * 5}, offset=4)}, [], 1)
    with pytest.raises(PoisonError, match="user_script"):
        await sent(partial(merge_run, client, view, run))


async def test_pending_writes_that_are_none_are_deleted(client: Client, view: ShardView, log: Log) -> None:
    """They are of no generation, so no rebuild would mend them."""
    await set_to_text(client, KEYS.pending("u"))
    assert (await merged(client, view, log, enrolled("u", "c01"))).status == "OK"
    assert not await client.exists(KEYS.pending("u"))
    fields: dict[Any, Any] = {"c00": b"short", "c01": pack_pending(Pending(99, Rank.ENROLLED)), "c02": b""}
    await client.hset(KEYS.pending("u"), mapping=fields)
    log.entries.append(Logged(enrolled("u", "c01"), LATE_MS))
    assert (await merged(client, view, log, *(enrolled("u", course) for course in fields))).status == "OK"
    assert set(await client.hkeys(KEYS.pending("u"))) == {b"c01"}


async def test_a_list_of_another_type_is_none(client: Client, view: ShardView, log: Log) -> None:
    await client.hset(KEYS.candidates("u"), "no", "list")
    answer = await merged(client, view, log, enrolled("u", "c01"))
    assert [one.stood_before for one in answer.first_enrolments] == [None]
    stood = await Refresher(client, 5, 8).sweep(view, serving(6, 3), "", 8)
    assert await listed(client, "u"), "it was replaced"
    await client.delete(KEYS.candidates("u"))
    await client.hset(KEYS.candidates("u"), "no", "list")
    await Refresher(client, 5, 8).sweep(view, serving(7, 3), stood, 8)
    assert await listed(client, "u"), "a sweep counts it as behind"


@pytest.mark.parametrize("kind", ["history", "feedback", "profile", "activity"])
async def test_only_the_list_of_the_learner_stands_still(
    client: Client, view: ShardView, log: Log, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    await log.append(*(enrolled(f"good{i}", "c00") for i in range(10)))
    await set_to_text(client, getattr(KEYS, kind)("u"))
    await Refresher(client, 5, 8).drain(view, serving())
    assert all([await listed(client, f"good{i}") for i in range(10)]) and not await listed(client, "u")
    assert await marks(client) == {"u"}
    assert caplog.text.count("ALARM: the list of a learner") == 1 and "WRONGTYPE" in caplog.text


async def test_activity_is_joined_beside_damage(client: Client, view: ShardView, log: Log) -> None:
    """A history that is damaged is for the merge to find; activity itself is soft."""
    update = ActivityUpdate({"v:c00": 7}, [(7, "sql")], offset=3, marks=True)
    for damaged in (b"short", pack_searches([(1, "excel")])[:-1]):
        await client.delete(KEYS.activity("u"))
        await client.hset(KEYS.activity("u"), SEARCHES, damaged)
        update.offset += 1
        assert await merge_activity(client, view, {"u": update})
        assert await client.hget(KEYS.activity("u"), SEARCHES) == pack_searches([(7, "sql")])
    await set_to_text(client, KEYS.activity("u"))
    update.offset += 1
    assert await merge_activity(client, view, {"u": update})
    assert await client.hlen(KEYS.activity("u")) == 2
    update.offset += 1
    await client.hset(KEYS.history("u"), HEADER_FIELD, "short")
    assert await merge_activity(client, view, {"u": update, "good": update})
    await set_to_text(client, KEYS.history("u"))
    assert await merge_activity(client, view, {"u": update})
    assert await client.hlen(KEYS.activity("good")) == 2
