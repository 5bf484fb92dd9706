"""Live quality: what the merge answers of first enrolments, judged by the lists that stood before."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from adapters.experiments import ExperimentCounts
from adapters.redis import Client, end_tasks
from schemas.candidates import STRATEGIES, Candidate, CandidateList, Source, Version, pack_candidates
from schemas.events import Dropped, Enrolled, LearnerEvent, Progressed
from schemas.quality import SHARED, Slot, Tally, add_fields
from stream import quality
from stream.merge import FirstEnrolments, LearnerUpdate
from stream.quality import Quality, judge
from stream.trials import Trials
from tests.reference import Logged
from tests.shard_state import merge
from tests.unit.stream.test_merge import KEYS, empty
from tests.unit.stream.test_serving import House
from tests.waiting import until

EPOCH = 7


def packed(course_ids: Sequence[str]) -> bytes:
    """Return a list in this order for `hybrid` and `popular`, and reversed for `content`."""
    rows = [
        Candidate(course_id, 1 - i / 128, (0.0, 0.0, i / 128, 1 - i / 128, 0.0), Source.POPULAR, None)
        for i, course_id in enumerate(course_ids)
    ]
    return pack_candidates(CandidateList(Version(EPOCH, 1, 0, -1), 1, (), tuple(rows)))


LISTED = [f"c{i:02d}" for i in range(60)]


async def firsts_of(client: Client, *runs: Sequence[LearnerEvent]) -> list[FirstEnrolments]:
    """Merge runs of one learner's events, who has the list from the first on; return all first enrolments."""
    view, log, found = await empty(client), list[Logged](), list[FirstEnrolments]()
    await client.set(KEYS.candidates("u"), packed(LISTED))
    for run in runs:
        begin = len(log)
        log += [Logged(event, 10**9) for event in run]
        found += (await merge(client, view, log, begin, len(log) - 1)).first_enrolments
    return found


def enrolled(course_id: str, second: int = 1) -> Enrolled:
    """Return an enrolment."""
    return Enrolled(event_id=course_id, user_id="u", course_id=course_id, occurred_at=second)


@pytest.fixture
async def house(tmp_path: Path) -> House:
    """A live model."""
    house = House(tmp_path)
    await house.promote(1)
    return house


def places(house: House, firsts: Sequence[FirstEnrolments], strategy: str) -> list[tuple[str, int | None]]:
    """Return history and place of each test under a strategy."""
    found = [one for first in firsts for one in judge(first, house.current.recommender, 3)]
    return [(slot.history, place) for slot, place in found if slot.strategy == strategy]


async def test_a_test_is_judged_under_every_strategy_by_the_model_of_the_list(client: Client, house: House) -> None:
    (first,) = await firsts_of(client, [enrolled("c02")])
    found = list(judge(first, house.current.recommender, 3))
    assert [slot for slot, _ in found] == [Slot(EPOCH, strategy, "0") for strategy in STRATEGIES]
    assert {slot.strategy: place for slot, place in found} == {
        "hybrid": 3, "popular": 3, "content": 58, "collaborative": 60, "trending": 60,
    }  # fmt: skip


async def test_what_had_been_taken_holds_no_place(client: Client, house: House) -> None:
    dropped = Dropped(event_id="d", user_id="u", course_id="c01", occurred_at=5)
    firsts = await firsts_of(
        client, [enrolled("c00"), enrolled("x1"), dropped], [enrolled("c04"), enrolled("c06")], [enrolled("c05")]
    )
    assert places(house, firsts, "hybrid") == [("0", 1), ("1", None), ("2-5", 3), ("2-5", 4), ("2-5", 3)]


async def test_what_had_been_taken_is_no_test(client: Client, house: House) -> None:
    taken = [
        Progressed(event_id="p", user_id="u", course_id=course_id, occurred_at=1, value=0.5)
        for course_id in ("c1", "c2")
    ]
    firsts = await firsts_of(client, taken, [enrolled("c1", 2), enrolled("c09", 2), enrolled("c2", 2)])
    assert [first.course_ids for first in firsts] == [("c1", "c09", "c2")]
    assert places(house, firsts, "hybrid") == [("2-5", 10)]


async def test_of_who_has_no_list_the_popular_one_is_judged(client: Client, house: House) -> None:
    house.room.take_counts({"c05": {10: 3}, "c06": {10: 1}})
    firsts = FirstEnrolments("u", None, frozenset(["c05"]), ("c06", "c07", "nowhere"))
    found = list(judge(firsts, house.current.recommender, 3))
    assert found == [
        (Slot(3, SHARED, "1"), 1), (Slot(3, SHARED, "2-5"), 10), (Slot(3, SHARED, "2-5"), None),
    ]  # fmt: skip


async def tallies_of(client: Client, shard: int) -> dict[Slot, Tally]:
    """Return what all days of a shard add up to."""
    tallies: dict[Slot, Tally] = {}
    async for key in client.scan_iter(match=f"cs:{{{shard}}}:q:*"):
        fields: Any = await client.hgetall(key)
        add_fields(tallies, fields)
        assert 0 < await client.ttl(key) <= 15 * 86_400
    return tallies


def quality_of(client: Client, house: House) -> Quality:
    """Return the judge of what the house serves."""
    return Quality(client, house.room, Trials(house.control, ExperimentCounts(client, house.control)))


async def test_what_waits_is_judged_and_added_up_by_shard(
    client: Client, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality, "_PAUSE_S", 0.01)
    judged, updates = quality_of(client, house), {"u": LearnerUpdate()}
    whole = packed(LISTED)
    damaged = (b"\x63" + whole[1:], whole[:20], whole[:60] + b"c01", whole[: whole.index(b"c00") - 60] + b"c01")
    rubbish = [FirstEnrolments("u", one, frozenset(), ("c01",)) for one in damaged]
    for place in (0, 2, 49, 60):
        judged.take(3, [*rubbish, FirstEnrolments("u", packed(LISTED), frozenset(), (f"c{place:02d}",))], updates)
    judged.take(1, [FirstEnrolments("u", None, frozenset(), ("c05",))], updates)
    house.room.take_counts({"c05": {10: 1}})  # the very enrolment; it does not speak for itself
    task = asyncio.create_task(judged.run())

    async def holds() -> bool:
        return len(await tallies_of(client, 3)) == len(STRATEGIES) and bool(await tallies_of(client, 1))

    await until(holds, "the tallies", 10)
    await end_tasks([task])
    found = await tallies_of(client, 3)
    assert found[Slot(EPOCH, "hybrid", "0")] == Tally(4, 2, 1_000_000 + 333_333 + 20_000)
    assert found[Slot(EPOCH, "content", "0")] == Tally(4, 0, 16_667 + 17_241 + 90_909)
    assert await tallies_of(client, 1) == {Slot(house.current.model_epoch, SHARED, "0"): Tally(1, 0, 83_333)}


def test_a_full_queue_asks_for_no_more(client: Client, house: House) -> None:
    judged = quality_of(client, house)
    assert judged.wants_more()
    judged.take(0, [FirstEnrolments("u", None, frozenset(), ("c05",))] * quality.WAITING, {"u": LearnerUpdate()})
    assert not judged.wants_more()
