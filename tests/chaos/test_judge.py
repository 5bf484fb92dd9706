"""The verdict does find what it is there for: each fault is planted into a real server's state, or into the log."""

from dataclasses import replace
from typing import Any, Final

import pytest

from adapters.redis import Client
from schemas.candidates import CandidateList, Version, pack_candidates
from schemas.events import Dropped, Enrolled, Erased, Feedback, LearnerEvent, ProfileUpdated, Rated
from schemas.keys import ShardKeys
from schemas.meta import Status
from stream.view import open_shard
from tests.chaos.standing import Standing, read_state
from tests.chaos.verdict import Verdict, judge_standing
from tests.reference import Logged
from tests.shard_state import merge

KEYS: Final = ShardKeys(0, 0)
EPOCH: Final = 4
NOW_S: Final = 1_000_000
_OF_C1: Final[dict[str, Any]] = {"course_id": "c1", "user_id": "u1"}
EVENTS: Final[list[LearnerEvent]] = [
    Enrolled(event_id="e0", occurred_at=NOW_S, **_OF_C1),
    Rated(event_id="e1", occurred_at=NOW_S + 1, value=4, review="good", **_OF_C1),
    Enrolled(event_id="e2", user_id="u2", course_id="c2", occurred_at=NOW_S),
    Dropped(event_id="e3", user_id="u2", course_id="c2", occurred_at=NOW_S + 2),
    Feedback(event_id="e4", user_id="u1", course_id="c3", occurred_at=NOW_S, value="useful"),
    ProfileUpdated(event_id="e5", user_id="u1", occurred_at=NOW_S, interests=("sql",)),
    Enrolled(event_id="e6", user_id="gone", course_id="c1", occurred_at=NOW_S),
    Erased(event_id="e7", user_id="gone", occurred_at=NOW_S),
]
LOG: Final = [Logged(event, NOW_S * 1_000 + 5) for event in EVENTS]


@pytest.fixture
async def shard(client: Client) -> Client:
    """A server that holds the state of the log, as the stream leaves it when all is quiet."""
    view, _ = await open_shard(client, KEYS, 0)
    await merge(client, view, LOG, 0, len(LOG) - 1)
    await view.set_status(client, Status.LIVE)
    for user_id, offset in (("u1", 5), ("u2", 3)):
        packed = pack_candidates(CandidateList(Version(EPOCH, 1, offset, -1), 1, (), ()))
        await client.set(KEYS.candidates(user_id), packed)
    await client.delete(KEYS.dirty)
    return client


async def judged(shard: Client, log: list[Logged] = LOG, acked: list[LearnerEvent] = EVENTS) -> Verdict:
    """Return the verdict over what stands there now."""
    standing = Standing(log=log, begins=[0], ends=[len(LOG)])
    await read_state(shard, 1, EPOCH, standing)
    return judge_standing(standing, acked, ["gone"])


async def test_what_is_right_is_not_complained_of(shard: Client) -> None:
    verdict = await judged(shard)
    assert (verdict.holds, verdict.acked, verdict.lost, verdict.doubled, verdict.wrong) == (True, 8, [], [], [])


async def test_an_event_removed_from_the_state_is_lost(shard: Client) -> None:
    await shard.hdel(KEYS.history("u1"), "c1")
    verdict = await judged(shard)
    assert [complaint[:2] for complaint in verdict.lost] == ["e0", "e1"]
    assert "the state of u1 is not what the log says" in verdict.wrong


async def test_one_register_removed_is_seen_beside_those_that_are_left(shard: Client) -> None:
    await shard.delete(KEYS.feedback("u1"))
    assert [complaint[:2] for complaint in (await judged(shard)).lost] == ["e4"]
    await shard.delete(KEYS.profile("u1"))
    assert [complaint[:2] for complaint in (await judged(shard)).lost] == ["e4", "e5"]


async def test_an_event_that_never_reached_the_log_is_lost(shard: Client) -> None:
    never = replace_id(EVENTS[0], "never")
    assert (await judged(shard, acked=[*EVENTS, never])).lost == ["never (enrolled of u1) is not in the log"]


async def test_state_that_the_log_does_not_say_is_wrong(shard: Client) -> None:
    verdict = await judged(shard, log=[entry for entry in LOG if entry.event.event_id != "e3"], acked=EVENTS[:3])
    assert "the state of u2 is not what the log says" in verdict.wrong
    assert verdict.doubled


async def test_a_count_that_a_duplicate_moved_is_doubled(shard: Client) -> None:
    names: Any = await shard.hkeys(KEYS.counts)
    (field,) = [name for name in names if name.startswith(b"c1")]
    await shard.hincrby(KEYS.counts, field, 1)
    day = NOW_S // 86_400
    assert (await judged(shard)).doubled == [f"c1 on day {day}: 2 counted, 1 enrolled"]


async def test_an_erased_learner_who_is_still_there_is_found(shard: Client) -> None:
    record: Any = await shard.hget(KEYS.history("u1"), "c1")
    await shard.hset(KEYS.history("gone"), "c1", record)
    await shard.set(KEYS.candidates("gone"), pack_candidates(CandidateList(Version(EPOCH, 1, 7, -1), 1, (), ())))
    wrong = (await judged(shard)).wrong
    assert {"gone was erased and is still there", "gone was erased and still has a list"} <= set(wrong)


async def test_a_shard_that_stands_elsewhere_than_the_log_ends_is_found(shard: Client) -> None:
    await shard.hset(KEYS.meta, "applied", len(LOG) - 2)
    (complaint,) = (await judged(shard)).wrong
    assert "where the log ends at 8" in complaint


async def test_a_shard_that_is_not_live_or_absent_is_found(shard: Client) -> None:
    await shard.hset(KEYS.meta, "status", "building")
    assert any("shard 0" in complaint for complaint in (await judged(shard)).wrong)
    await shard.delete(KEYS.meta)
    assert any("shard 0 is None" in complaint for complaint in (await judged(shard)).wrong)


async def test_marks_and_stale_lists_are_found(shard: Client) -> None:
    await shard.zadd(KEYS.dirty, {"u1": 1})
    old = pack_candidates(CandidateList(Version(EPOCH - 1, 1, 3, -1), 1, (), ()))
    await shard.set(KEYS.candidates("u2"), old)
    assert (await judged(shard)).wrong == ["1 learners are still marked", "the list of u2 is stale"]


def replace_id(event: LearnerEvent, event_id: str) -> LearnerEvent:
    """Return the same event under another id."""
    assert isinstance(event, Enrolled)
    return Enrolled(event_id=event_id, user_id=event.user_id, course_id=event.course_id, occurred_at=event.occurred_at)


def test_a_verdict_with_a_complaint_does_not_hold() -> None:
    good = Verdict()
    assert good.holds
    assert not replace(good, lost=["x"]).holds
    assert not replace(good, doubled=["x"]).holds
    assert not replace(good, wrong=["x"]).holds
