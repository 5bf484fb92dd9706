"""The laws of the merge, on the real server against the reference model: order, duplicates, cutting change nothing."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from adapters.redis import Client
from recommender.fold import Fold
from schemas.events import CourseEvent, Erased
from schemas.keys import ShardKeys
from schemas.meta import Header
from schemas.pending import Pending, pack_pending
from schemas.registers import Rank
from stream.merge import MergeAnswer, Wanted, by_learners, merge_run
from stream.view import ShardView, open_shard, read_meta
from tests import reference
from tests.reference import Logged
from tests.shard_state import (
    contents,
    merge,
    read_counts,
    read_digest,
    read_learners,
    read_scores,
    read_stored,
    run_of,
)
from tests.strategies import COURSES, USERS, Scenario, batches, pairs_of_batches, pairs_of_scenarios, scenarios

KEYS = ShardKeys(0, 0)
BESIDE = ShardKeys(0, 1)
"""Another generation of the same shard: an independent state on the same server."""


async def empty(client: Client, keys: ShardKeys = KEYS) -> ShardView:
    """Empty the server and open a shard there."""
    if keys == KEYS:
        await client.flushall()
    view, _ = await open_shard(client, keys, 0)
    return view


async def merge_all(client: Client, view: ShardView, scenario: Scenario) -> None:
    for first, last in scenario.runs:
        await merge(client, view, scenario.log, first, last)


def users_of(log: Sequence[Logged]) -> set[str]:
    return {entry.event.user_id for entry in log}


def erased_in(log: Sequence[Logged]) -> set[str]:
    return {entry.event.user_id for entry in log if isinstance(entry.event, Erased)}


def last_offset(log: Sequence[Logged], user_id: str) -> int:
    return max((offset for offset, entry in enumerate(log) if entry.event.user_id == user_id), default=-1)


@settings(max_examples=150)
@given(scenario=scenarios)
async def test_the_state_is_the_references(client: Client, scenario: Scenario) -> None:
    view = await empty(client)
    await merge_all(client, view, scenario)
    assert await read_learners(client, KEYS) == reference.learners(scenario.log)
    assert await read_counts(client, KEYS) == reference.counts(scenario.log)
    assert set(await read_scores(client, KEYS.learners)) == users_of(scenario.log)


@settings(max_examples=150)
@given(log=batches)
async def test_folding_in_memory_gives_the_digest_of_the_server(client: Client, log: list[Logged]) -> None:
    view = await empty(client)
    await merge(client, view, log, 0, len(log) - 1)
    fold = Fold()
    for entry in reversed(log):
        fold.apply(entry.event, entry.appended_ms)
    assert await read_digest(client, KEYS) == fold.digest().hexdigest()
    for user_id, folded in fold.learners.items():
        assert folded.learner().taken == reference.learner(log, user_id).taken


@settings(max_examples=100)
@given(pair=pairs_of_scenarios)
async def test_order_and_cutting_do_not_matter(client: Client, pair: tuple[Scenario, Scenario]) -> None:
    views = [await empty(client, keys) for keys in (KEYS, BESIDE)]
    for view, scenario in zip(views, pair, strict=True):
        await merge_all(client, view, scenario)
    assert await read_digest(client, KEYS) == await read_digest(client, BESIDE)
    assert await read_counts(client, KEYS) == await read_counts(client, BESIDE)
    assert set(await read_scores(client, KEYS.learners)) == set(await read_scores(client, BESIDE.learners))


@settings(max_examples=50)
@given(pair=pairs_of_batches)
async def test_merging_commutes_and_joining_first_changes_nothing(
    client: Client, pair: tuple[list[Logged], list[Logged]]
) -> None:
    """a then b, b then a, and both joined into one run by the client."""
    (a, b), states = pair, []
    for generation, cuts in enumerate(([a, b], [b, a], [a + b])):
        keys = ShardKeys(0, generation)
        view = await empty(client, keys)
        log: list[Logged] = []
        for part in cuts:
            log += part
            await merge(client, view, log, len(log) - len(part), len(log) - 1)
        states.append((await read_digest(client, keys), await read_counts(client, keys)))
    assert states[0] == states[1] == states[2]


@settings(max_examples=75)
@given(scenario=scenarios)
async def test_cutting_a_run_by_learners_changes_nothing(client: Client, scenario: Scenario) -> None:
    whole, cut = [await empty(client, keys) for keys in (KEYS, BESIDE)]
    await merge_all(client, whole, scenario)
    for first, last in scenario.runs:
        for part in by_learners(run_of(scenario.log, first, last), 1):
            assert (await merge_run(client, cut, part)).status == "OK"
    assert await read_stored(client, BESIDE) == await read_stored(client, KEYS)
    assert await read_counts(client, BESIDE) == await read_counts(client, KEYS)
    assert await read_scores(client, BESIDE.learners) == await read_scores(client, KEYS.learners)
    assert set(await read_scores(client, BESIDE.dirty)) == set(await read_scores(client, KEYS.dirty))
    metas = [await read_meta(client, keys) for keys in (BESIDE, KEYS)]
    assert metas[0] and metas[1] and metas[0].applied == metas[1].applied == len(scenario.log) - 1


@settings(max_examples=75)
@given(log=batches)
async def test_merging_twice_is_merging_once(client: Client, log: list[Logged]) -> None:
    view = await empty(client)
    run = run_of(log, 0, len(log) - 1)
    await merge_run(client, view, run)
    before, marks = await contents(client), set(await read_scores(client, KEYS.dirty))
    again = await merge_run(client, view, run._replace(last=run.last + 1), wanted=Wanted.FIRSTS)
    after = await contents(client)
    assert again.first_enrolments == ()
    assert set(await read_scores(client, KEYS.dirty)) == marks
    for held in (before, after):
        held.pop(KEYS.meta.encode())  # `applied` has moved
        held.pop(KEYS.dirty.encode(), None)  # a mark carries its time
    assert after == before


@settings(max_examples=250)
@given(log=batches)
def test_a_run_adds_up_to_the_same_in_any_order(log: list[Logged]) -> None:
    """Only the offsets differ, which say where in the log it came from."""
    forward, backward = (
        {user: replace(update, offset=0, erased_offset=0) for user, update in run_of(one, 0, len(one)).updates.items()}
        for one in (log, log[::-1])
    )
    assert forward == backward


async def steps(
    client: Client, view: ShardView, scenario: Scenario
) -> AsyncIterator[tuple[list[Logged], list[Logged], int, int]]:
    """Yield, before each run is merged: what is merged already, what will be, first and last offset of the run."""
    applied = -1
    for first, last in scenario.runs:
        yield scenario.log[: applied + 1], scenario.log[: last + 1], first, last
        applied = last


@settings(max_examples=75)
@given(scenario=scenarios)
async def test_versions_rise_to_the_last_offset_and_mark_the_learner(client: Client, scenario: Scenario) -> None:
    view = await empty(client)
    async for before, after, first, last in steps(client, view, scenario):
        await client.delete(KEYS.dirty)
        await merge(client, view, after, first, last)
        run, states = after[first:], reference.learners(after)
        for user_id, stored in (await read_stored(client, KEYS)).items():
            erasures = [place for place, entry in enumerate(after) if entry.event.user_id == user_id]
            erasures = [place for place in erasures if isinstance(after[place].event, Erased)]
            threshold = reference.learner(after, user_id).erased_through_us
            last_erasure = max(erasures, default=-1)
            assert stored.header == Header(last_offset(after, user_id), -1, threshold, last_erasure)
        risen = {user for user in users_of(run) if last_offset(after, user) > last_offset(before, user)}
        left = {user for user, state in states.items() if state.courses or state.feedback or state.profile}
        marked = (risen - erased_in(run)) | (erased_in(run) & left)
        assert set(await read_scores(client, KEYS.dirty)) == marked
        assert await read_scores(client, KEYS.learners) == {user: last_offset(after, user) for user in users_of(after)}


@settings(max_examples=75)
@given(scenario=scenarios)
async def test_an_erasure_takes_what_was_made_from_the_learner(client: Client, scenario: Scenario) -> None:
    view = await empty(client)
    async for _, after, first, last in steps(client, view, scenario):
        made = {}
        for user in USERS:
            made[user] = [KEYS.candidates(user), KEYS.embedding(user), KEYS.activity(user)]
            await client.set(KEYS.candidates(user), b"list")
            await client.set(KEYS.embedding(user), b"vector")
            await client.hset(KEYS.activity(user), "v:c1", b"12345678")
            await client.zadd(KEYS.dirty, {user: 1})
        await merge(client, view, after, first, last)
        erased = erased_in(after[first:])
        for user, keys in made.items():
            assert await client.exists(*keys) == (0 if user in erased else 3)
        left = {
            user
            for user, state in reference.learners(after).items()
            if state.courses or state.feedback or state.profile
        }
        assert set(USERS) - set(await read_scores(client, KEYS.dirty)) == erased - left


@pytest.mark.parametrize("at_once", [1, 100])
@settings(max_examples=75)
@given(scenario=scenarios)
async def test_pending_writes_go_once_they_are_merged(client: Client, at_once: int, scenario: Scenario) -> None:
    """Also by the early parts of a run that is cut by learners, or `erase` would wait for them in vain."""
    view = await empty(client)
    offsets = {course: place * 4 for place, course in enumerate(COURSES)}
    entries: list[Any] = []
    for course, offset in offsets.items():
        entries += [course, pack_pending(Pending(offset, Rank.ENROLLED))]
    async for _, after, first, last in steps(client, view, scenario):
        for user in USERS:
            await client.hset(KEYS.pending(user), items=entries)
        for part in by_learners(run_of(after, first, last), at_once):
            assert (await merge_run(client, view, part)).status == "OK"
        run = [entry.event for entry in after[first:]]
        for user in USERS:
            own = [event for event in run if event.user_id == user]
            merged = {event.course_id for event in own if isinstance(event, CourseEvent)}
            merged |= set(COURSES) if user in erased_in(after[first:]) else set()
            reached = last_offset(after, user)
            left = {course for course in COURSES if not (course in merged and offsets[course] <= reached)}
            pending: Any = await client.hkeys(KEYS.pending(user))
            assert {course.decode() for course in pending} == left


def answered(answer: MergeAnswer) -> dict[str, set[str]]:
    firsts = {first.user_id: first.course_ids for first in answer.first_enrolments}
    assert all(len(set(courses)) == len(courses) for courses in firsts.values())
    return {user_id: set(courses) for user_id, courses in firsts.items()}


@settings(max_examples=100)
@given(scenario=scenarios)
async def test_first_enrolments_come_with_the_list_that_stood_before(client: Client, scenario: Scenario) -> None:
    view = await empty(client)
    lists = {user: None if place % 3 == 0 else bytes([0, 13, 10, 255, place]) for place, user in enumerate(USERS)}
    async for before, after, first, last in steps(client, view, scenario):
        for user, packed in lists.items():
            if packed is not None:
                await client.set(KEYS.candidates(user), packed)
        answer = await merge(client, view, after, first, last)
        assert answered(answer) == reference.first_enrolments(before, after)
        for one in answer.first_enrolments:
            assert one.stood_before == lists[one.user_id]
            assert one.taken == reference.learner(before, one.user_id).courses.keys()
