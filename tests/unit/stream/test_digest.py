"""The digest of a generation: of the state alone, at one offset, whatever comes in meanwhile."""

import asyncio
import random
from typing import Any

import pytest

from adapters.redis import Client
from recommender.fold import Fold, StateDigest
from schemas.errors import NotReadyError
from schemas.events import Enrolled, Erased, Feedback, LearnerEvent, ProfileUpdated, Progressed, Rated
from schemas.keys import ShardKeys
from schemas.meta import Status
from stream.digest import generation_digest
from stream.merge import Run, join_run, merge_run
from stream.view import ShardView, open_shard
from tests.reference import Logged
from tests.shard_state import CONTROL, merge, record_of
from tests.strategies import LATE_MS

KEYS = ShardKeys(0, 0)


def event(number: int, dice: random.Random) -> LearnerEvent:
    """Return some event of one of a few hundred learners."""
    user, course, moment = f"u{dice.randrange(300)}", f"c{dice.randrange(40)}", dice.randrange(10_000)
    common: dict[str, Any] = {"event_id": f"e{number}", "user_id": user, "occurred_at": moment}
    about = {**common, "course_id": course}
    kinds = (
        lambda: Enrolled(**about), lambda: Progressed(**about, value=0.5), lambda: Rated(**about, value=4),
        lambda: Feedback(**about, value="useful"), lambda: ProfileUpdated(**common, level=course),
        lambda: Erased(**{**common, "occurred_at": 0}),
    )  # fmt: skip
    return dice.choices(kinds, (8, 2, 2, 1, 1, 0.2))[0]()


def logged(event: LearnerEvent) -> Logged:
    """Append an event; erasures early, so that they leave something."""
    return Logged(event, 3_000_000 if isinstance(event, Erased) else 9_900_000)


DICE = random.Random(11)
LOG = [logged(event(number, DICE)) for number in range(1_500)]


def folded(log: list[Logged]) -> StateDigest:
    fold = Fold()
    for entry in log:
        fold.apply(entry.event, entry.appended_ms)
    return fold.digest()


async def opened(client: Client, shard: int, generation: int = 0) -> ShardView:
    view, _ = await open_shard(client, ShardKeys(shard, generation), 0)
    return view


async def test_it_is_the_digest_of_the_log_folded_in_memory(client: Client) -> None:
    await merge(client, await opened(client, 0), LOG, 0, len(LOG) - 1)
    found, wanted = await generation_digest(client, 0, 1), folded(LOG)
    assert (found.digest, found.learners, found.records) == (wanted.hexdigest(), wanted.learners, wanted.records)
    assert found.applied == [len(LOG) - 1]


async def test_it_does_not_depend_on_how_the_log_was_cut_or_on_the_shards(client: Client) -> None:
    whole, cut = await opened(client, 0, 0), await opened(client, 0, 1)
    await merge(client, whole, LOG, 0, len(LOG) - 1)
    for first in range(0, len(LOG), 70):
        await merge(client, cut, LOG, max(first - 30, 0), min(first + 69, len(LOG) - 1))
    halves = [[entry for entry in LOG if hash_of(entry) == half] for half in (0, 1)]
    for shard, half in enumerate(halves):
        await merge(client, await opened(client, shard, 2), half, 0, len(half) - 1)
    digests = {(await generation_digest(client, g, n)).digest for g, n in ((0, 1), (1, 1), (2, 2))}
    assert len(digests) == 1


def hash_of(entry: Logged) -> int:
    return int(entry.event.user_id[1:]) % 2


async def test_one_register_makes_another_digest(client: Client) -> None:
    view = await opened(client, 0)
    late = Enrolled(event_id="late", user_id="u1", course_id="c1", occurred_at=99_999)
    await merge(client, view, LOG, 0, len(LOG) - 1)
    before = await generation_digest(client, 0, 1)
    await merge(client, view, [*LOG, Logged(late, LATE_MS)], len(LOG), len(LOG))
    after = await generation_digest(client, 0, 1)
    assert before.digest != after.digest and after.applied == [len(LOG)]


async def test_it_is_taken_at_one_offset_while_records_never_cease(client: Client) -> None:
    view = await opened(client, 0)
    await merge(client, view, LOG, 0, 999)
    begun, ended = asyncio.Event(), asyncio.Event()
    log = list(LOG[:1_000])

    async def stream() -> None:
        while not ended.is_set():
            log.append(logged(event(len(log), DICE)))
            await merge_run(client, view, single(log))
            await asyncio.sleep(0.001)
            begun.set()

    streaming = asyncio.create_task(stream())
    await begun.wait()
    found = await generation_digest(client, 0, 1)
    assert not streaming.done()
    ended.set()
    await streaming
    assert 1_000 <= found.applied[0] < len(log)
    assert found.digest == folded(log[: found.applied[0] + 1]).hexdigest()


def single(log: list[Logged]) -> Run:
    """Return the run of a log's last record."""
    last = len(log) - 1
    return join_run([record_of(log[-1], last)], last, last, CONTROL)


async def test_a_shard_without_state_has_no_digest(client: Client) -> None:
    await opened(client, 0)
    with pytest.raises(NotReadyError, match="shard 1 of generation 0"):
        await generation_digest(client, 0, 2)


async def test_no_learners_have_a_digest_too(client: Client) -> None:
    await opened(client, 0)
    found = await generation_digest(client, 0, 1)
    assert (found.digest, found.learners, found.records, found.applied) == (folded([]).hexdigest(), 0, 0, [-1])


async def test_a_live_digest_is_refused_while_a_filler_is_ahead_of_what_is_applied(client: Client) -> None:
    view = await opened(client, 0)
    await merge(client, view, LOG, 0, 99)
    assert (await generation_digest(client, 0, 1)).applied == [99]
    with pytest.raises(NotReadyError, match="shard 0 is being rebuilt"):
        await generation_digest(client, 0, 1, only_live=True)
    await view.set_status(client, Status.LIVE)
    assert (await generation_digest(client, 0, 1, only_live=True)).applied == [99]
