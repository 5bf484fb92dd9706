"""An erasure seen through, on a real server: before its time, in every generation, and nothing missed by the look."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.redis import Client
from schemas.activity import SEARCHES, VIEWED, pack_moment, pack_searches
from schemas.candidates import CandidateList, Version, pack_candidates
from schemas.control import ControlState
from schemas.events import Enrolled, Erased, Feedback, LearnerEvent, ProfileUpdated
from schemas.keys import SHARED_META, ShardKeys
from schemas.meta import Status
from schemas.pending import Pending, pack_pending
from schemas.registers import Rank
from stream.erasure import PLACES, Erasure, LearnerLog, finish, generations, look, shared_lists_know
from stream.view import ShardView, open_shard
from tests import reference
from tests.reference import Logged
from tests.shard_state import merge, read_counts, read_digest, read_learners, read_scores
from tests.strategies import Scenario, scenarios

KEYS = ShardKeys(0, 0)
BESIDE = ShardKeys(0, 1)
THROUGH_S = 1_300
ERASED = Logged(Erased(event_id="x", user_id="u", occurred_at=0), 1_000_000)


def _events(second: int, name: str) -> list[LearnerEvent]:
    common: dict[str, Any] = {"event_id": f"e{second}", "user_id": "u", "occurred_at": second}
    return [
        Enrolled(**common, course_id=name),
        Feedback(**common, course_id=name, value="useful"),
        ProfileUpdated(**common, interests=(name,)),
    ]


OLD = [Logged(event, 1_000_000) for event in _events(THROUGH_S, "old")]
NEW = [Logged(event, 2_000_000) for event in _events(THROUGH_S + 1, "new")]
ERASURE = Erasure("u", 0, len(OLD), THROUGH_S * 1_000_000)


async def _furnish(client: Client, keys: ShardKeys, second: int, offset: int) -> None:
    """Write what a worker and the API would have made of events of one moment."""
    version = Version(1, 1, offset, -1)
    await client.set(keys.candidates("u"), pack_candidates(CandidateList(version, 9, (), ())))
    await client.set(keys.embedding("u"), b"vector")
    moment_us = second * 1_000_000
    fields: Any = {VIEWED + "c": pack_moment(moment_us), SEARCHES: pack_searches([(moment_us, "sql")])}
    await client.hset(keys.activity("u"), mapping=fields)
    pending: Any = {"c": pack_pending(Pending(offset, Rank.ENROLLED))}
    await client.hset(keys.pending("u"), mapping=pending)


async def _with_old(client: Client, keys: ShardKeys = KEYS) -> ShardView:
    view, _ = await open_shard(client, keys, 0)
    await merge(client, view, OLD, 0, len(OLD) - 1)
    await _furnish(client, keys, THROUGH_S, len(OLD) - 1)
    return view


async def test_a_look_misses_no_place_that_the_erasure_empties(client: Client) -> None:
    view = await _with_old(client)
    await view.set_status(client, Status.LIVE)
    before = await look(client, KEYS, ERASURE)
    assert before.is_live and not before.is_erased(ERASURE)
    counts = {"activity": 2, "refresh mark": 0}
    assert before.left == {place: counts.get(place, 1) for place in PLACES}
    await merge(client, view, [*OLD, ERASED], len(OLD), len(OLD))
    after = await look(client, KEYS, ERASURE)
    assert after.is_erased(ERASURE) and after.applied == ERASURE.offset and not any(after.left.values())


@pytest.mark.parametrize("place", PLACES)
async def test_a_look_sees_one_place_that_was_left(client: Client, place: str) -> None:
    view = await _with_old(client)
    kept = {
        "history": KEYS.history("u"), "feedback": KEYS.feedback("u"), "profile": KEYS.profile("u"),
        "activity": KEYS.activity("u"), "list": KEYS.candidates("u"), "embedding": KEYS.embedding("u"),
        "pending writes": KEYS.pending("u"), "refresh mark": KEYS.dirty,
    }[place]  # fmt: skip
    dump = await client.dump(kept)
    await merge(client, view, [*OLD, ERASED], len(OLD), len(OLD))
    header: Any = await client.hget(KEYS.history("u"), "")
    await client.restore(kept, 0, dump, replace=True)  # type: ignore[arg-type]
    await client.hset(KEYS.history("u"), "", header)
    found = await look(client, KEYS, ERASURE)
    assert [name for name, number in found.left.items() if number] == [place]
    assert not found.is_erased(ERASURE)


async def test_what_came_after_is_not_what_is_left(client: Client) -> None:
    view = await _with_old(client)
    log = [*OLD, ERASED, *NEW]
    await merge(client, view, log, len(OLD), len(log) - 1)
    await _furnish(client, KEYS, THROUGH_S + 1, len(log) - 1)
    found = await look(client, KEYS, ERASURE)
    assert found.is_erased(ERASURE)
    assert set((await read_learners(client, KEYS))["u"].courses) == {"new"}


async def test_without_the_threshold_it_is_not_done_though_nothing_stands(client: Client) -> None:
    await open_shard(client, KEYS, 0)
    assert not (await look(client, KEYS, ERASURE)).is_erased(ERASURE)


@settings(max_examples=100)
@given(scenario=scenarios, seed=st.integers(0, 1_000))
async def test_an_erasure_may_come_before_its_time(client: Client, scenario: Scenario, seed: int) -> None:
    """One generation gets all in its time, another some erasures early, at any moment: the same state in the end."""
    await client.flushall()
    dice, log = random.Random(seed), scenario.log
    erasures = [
        Erasure(one.event.user_id, 0, offset, (one.appended_ms + 300_000) * 1_000)
        for offset, one in enumerate(log)
        if isinstance(one.event, Erased)
    ]
    for keys in (KEYS, BESIDE):
        view, _ = await open_shard(client, keys, 0)
        for first, last in scenario.runs:
            for erasure in erasures if keys == BESIDE else ():
                if dice.random() < 0.3:
                    before = await look(client, keys, erasure)
                    await finish(client, before, erasure)
                    assert (await look(client, keys, erasure)).applied == before.applied
            await merge(client, view, log, first, last)
    assert await read_digest(client, KEYS) == await read_digest(client, BESIDE)
    assert await read_counts(client, KEYS) == await read_counts(client, BESIDE)
    assert set(await read_scores(client, KEYS.learners)) == set(await read_scores(client, BESIDE.learners))


@settings(max_examples=75)
@given(scenario=scenarios)
async def test_counts_after_an_erasure_are_those_of_a_log_without_the_learner(
    client: Client, scenario: Scenario
) -> None:
    await client.flushall()
    view, _ = await open_shard(client, KEYS, 0)
    gone = scenario.log[0].event.user_id
    log = [*scenario.log, Logged(Erased(event_id="x", user_id=gone, occurred_at=0), 10**13)]
    for first, last in [*scenario.runs, (len(log) - 1, len(log) - 1)]:
        await merge(client, view, log, first, last)
    assert await read_counts(client, KEYS) == reference.counts(
        [entry for entry in scenario.log if entry.event.user_id != gone]
    )


async def test_a_generation_that_nobody_feeds_is_erased_by_hand(client: Client) -> None:
    await _with_old(client, BESIDE)
    beyond: Any = pack_pending(Pending(ERASURE.offset, Rank.ENROLLED))  # of what this generation has applied
    await client.hset(BESIDE.pending("u"), "beyond", beyond)
    standing = await look(client, BESIDE, ERASURE)
    assert standing.is_fed and not standing.is_erased(ERASURE)
    await finish(client, standing, ERASURE)
    found = await look(client, BESIDE, ERASURE)
    assert found.is_erased(ERASURE) and found.applied == standing.applied
    assert await read_counts(client, BESIDE) == {}


@pytest.mark.parametrize("status", [Status.RETIRED, None])
async def test_a_retired_generation_that_was_not_emptied_is_emptied(client: Client, status: Status | None) -> None:
    view = await _with_old(client)
    await client.delete(KEYS.pending("u"))  # outside generations
    if status is None:
        await client.delete(KEYS.meta)
    else:
        await view.set_status(client, status)
    standing = await look(client, KEYS, ERASURE)
    assert not standing.is_fed and not standing.is_erased(ERASURE)
    await finish(client, standing, ERASURE)
    assert (await look(client, KEYS, ERASURE)).is_erased(ERASURE)


def test_generations_are_those_before_and_the_one_of_a_replay() -> None:
    state = ControlState(partitions=4, generation=2)
    assert [keys.generation for keys in generations(state, 3)] == [0, 1, 3]
    assert {keys.shard for keys in generations(state, 3)} == {3}


@pytest.mark.parametrize(
    ("counted", "know"), [(None, True), ("0 7 2", False), ("0 7 3", True), ("0 7 -2", False), ("1 0 30", True)]
)
async def test_shared_lists_know_once_they_were_counted_anew(client: Client, counted: str | None, know: bool) -> None:
    if counted is not None:
        await client.hset(SHARED_META, "counted", counted)
    assert await shared_lists_know(client, ERASURE._replace(shard=1, offset=3)) is know


def test_a_model_knows_whom_it_was_made_with() -> None:
    log = LearnerLog(events=[(5, 100), (9, 200), (20, 900)], erasures=[(12, 500)])
    assert [log.is_known_before(end) for end in (5, 6, 12, 13, 20, 21)] == [False, True, True, False, False, True]
