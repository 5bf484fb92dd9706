"""Activity on a real server: soft state that is joined like the rest, whatever is redelivered, late or erased."""

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import pytest
from aiokafka import ConsumerRecord
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisConnectionError

from adapters.kafka import shard_of
from adapters.redis import Client
from schemas.activity import MAX_COURSES, MAX_SEARCHES, TTL_S, unpack_moment, unpack_searches
from schemas.control import ControlState
from schemas.events import ActivityEvent, Clicked, Enrolled, Erased, Searched, Shown, Viewed, encode_event
from schemas.keys import ShardKeys
from schemas.meta import HEADER_FIELD, Status, unpack_header
from schemas.topics import ACTIVITY
from stream import activity
from stream.activity import join_activity, merge_activity, take_activity
from stream.quarantine import Quarantine
from stream.view import ShardView, open_shard
from tests.reference import Logged
from tests.shard_state import CONTROL, contents, merge, read_scores
from tests.strategies import LATE_MS, runs_over

KEYS = ShardKeys(0, 0)
COURSES = ("c1", "c2")
QUERIES = tuple(f"q{i}" for i in range(MAX_SEARCHES + 3))


@pytest.fixture
async def view(client: Client) -> ShardView:
    """Open an empty shard."""
    view, _ = await open_shard(client, KEYS, 0)
    return view


def viewed(course_id: str, occurred_at: int, user_id: str = "u") -> Viewed:
    return Viewed(event_id="e", user_id=user_id, course_id=course_id, occurred_at=occurred_at)


def searched(query: str, occurred_at: int) -> Searched:
    return Searched(event_id="e", user_id="u", query=query, occurred_at=occurred_at)


def shown(course_id: str, occurred_at: int) -> Shown:
    return Shown(event_id="e", user_id="u", course_id=course_id, occurred_at=occurred_at)


def record_of(event: Any, offset: int) -> ConsumerRecord:
    key, value = event.user_id.encode(), encode_event(event)
    return ConsumerRecord(
        topic=ACTIVITY, partition=0, offset=offset, timestamp=LATE_MS, timestamp_type=1, key=key, value=value,
        checksum=None, serialized_key_size=len(key), serialized_value_size=len(value), headers=(),
    )  # fmt: skip


async def take(client: Client, view: ShardView, events: Sequence[ActivityEvent], first: int = 0) -> None:
    """Join events that the topic holds from offset `first` on."""
    records = [record_of(event, first + place) for place, event in enumerate(events)]
    joined, dead = join_activity(records, CONTROL)
    assert not dead
    await merge_activity(client, view, joined[0])


@pytest.mark.parametrize("hangs", [False, True])
async def test_what_a_server_that_is_away_cannot_take_holds_up_no_other_shard(
    client: Client, view: ShardView, monkeypatch: pytest.MonkeyPatch, hangs: bool
) -> None:
    away, _ = await open_shard(client, ShardKeys(1, 0), 0)
    run = client.evalsha

    async def evalsha(sha: str, num_keys: int, *keys_and_args: Any) -> Any:
        if keys_and_args[0] != away.keys.meta:
            return await run(sha, num_keys, *keys_and_args)
        if hangs:
            await asyncio.Event().wait()
        raise RedisConnectionError("the node is away")

    monkeypatch.setattr(client, "evalsha", evalsha)
    monkeypatch.setattr(activity, "PATIENCE_S", 0.1)
    users = [next(f"u{i}" for i in range(99) if shard_of(f"u{i}", 2) == shard) for shard in (0, 1)]
    records = [
        dataclasses.replace(record_of(viewed("c1", 5, user), 0), partition=shard) for shard, user in enumerate(users)
    ]
    control, unused = ControlState(partitions=2), cast(Any, None)
    quarantine, told = Quarantine(client, unused, control), list[str]()
    await take_activity(client, unused, control, {0: view, 1: away}, records, quarantine, told.extend)
    assert await read(client, users[0]) == {"v:c1": 5}
    assert told == users[:1]


async def read(client: Client, user_id: str = "u") -> dict[str, Any]:
    """Return a learner's activity: field -> second, and the searches as (second, query)."""
    fields: Any = await client.hgetall(KEYS.activity(user_id))
    found: dict[str, Any] = {}
    for name, packed in fields.items():
        if name == b"q":
            found["q"] = [(moment // 1_000_000, query) for moment, query in unpack_searches(packed)]
        else:
            found[name.decode()] = unpack_moment(packed) // 1_000_000
    return found


async def marked(client: Client) -> set[str]:
    return set(await read_scores(client, KEYS.dirty))


def expected(events: Sequence[ActivityEvent]) -> dict[str, Any]:
    """Return what must stand, said plainly: the newest of each, and the newest searches, each query once."""
    found: dict[str, Any] = {}
    queries: dict[str, int] = {}
    for event in events:
        second = event.occurred_us // 1_000_000
        if isinstance(event, Searched):
            queries[event.query] = max(queries.get(event.query, 0), second)
        else:
            name = f"{event.type_name[0]}:{event.course_id}"
            found[name] = max(found.get(name, 0), second)
    if queries:
        found["q"] = sorted(((second, query) for query, second in queries.items()), reverse=True)[:MAX_SEARCHES]
    return found


_moments = st.integers(1, 6)
_events = st.one_of(
    st.builds(viewed, st.sampled_from(COURSES), _moments),
    st.builds(shown, st.sampled_from(COURSES), _moments),
    st.builds(searched, st.sampled_from(QUERIES), _moments),
    st.builds(searched, st.sampled_from(QUERIES[:2]), _moments),
)
_logs = st.lists(_events, min_size=1, max_size=40).flatmap(lambda log: st.tuples(st.just(log), runs_over(len(log))))


@settings(max_examples=150)
@given(log_and_runs=_logs)
async def test_whatever_is_redelivered_late_or_cut_ends_the_same(
    client: Client, log_and_runs: tuple[list[ActivityEvent], list[tuple[int, int]]]
) -> None:
    log, runs = log_and_runs
    await client.flushall()
    view, _ = await open_shard(client, KEYS, 0)
    for first, last in runs:
        await take(client, view, log[first : last + 1], first)
    assert await read(client) == expected(log)


async def test_the_newest_wins_across_batches(client: Client, view: ShardView) -> None:
    await take(client, view, [viewed("c1", 5), viewed("c2", 5)])
    await take(client, view, [viewed("c1", 3), viewed("c2", 7)], 2)
    assert await read(client) == {"v:c1": 5, "v:c2": 7}


async def test_a_view_a_click_and_a_showing_stand_side_by_side(client: Client, view: ShardView) -> None:
    clicked = Clicked(event_id="e", user_id="u", course_id="c1", occurred_at=2)
    await take(client, view, [viewed("c1", 1), clicked, shown("c1", 3)])
    assert await read(client) == {"v:c1": 1, "c:c1": 2, "s:c1": 3}


async def test_searches_stand_newest_first_and_at_most_so_many(client: Client, view: ShardView) -> None:
    await take(client, view, [searched(query, 10 + place) for place, query in enumerate(QUERIES)])
    await take(client, view, [searched("late", 1), searched("new", 99)], len(QUERIES))
    found = (await read(client))["q"]
    assert found[0] == (99, "new") and len(found) == MAX_SEARCHES
    assert found == sorted(found, reverse=True)


async def test_a_query_that_is_repeated_stands_once(client: Client, view: ShardView) -> None:
    await take(client, view, [searched("sql", 1)])
    await take(client, view, [searched("law", 2)], 1)
    await take(client, view, [searched("sql", 3)], 2)
    assert (await read(client))["q"] == [(3, "sql"), (2, "law")]


async def test_redelivery_changes_nothing_and_marks_nobody(client: Client, view: ShardView) -> None:
    events: list[ActivityEvent] = [viewed("c1", 5), searched("sql", 6)]
    await take(client, view, events)
    await client.delete(KEYS.dirty)
    before = await contents(client)
    await take(client, view, events)
    await take(client, view, events[:1])
    assert await contents(client) == before


@pytest.mark.parametrize("event", [viewed("c1", 1), searched("sql", 1)], ids=["viewed", "searched"])
async def test_activity_marks_the_learner_and_moves_the_version(
    client: Client, view: ShardView, event: ActivityEvent
) -> None:
    await take(client, view, [event], 7)
    header: Any = await client.hget(KEYS.history("u"), HEADER_FIELD)
    assert await marked(client) == {"u"}
    assert unpack_header(header).activity_offset == 7 and unpack_header(header).learner_offset == -1
    assert await read_scores(client, KEYS.learners) == {"u": -8}


async def test_what_was_shown_is_kept_but_marks_nobody(client: Client, view: ShardView) -> None:
    await take(client, view, [shown("c1", 4)])
    assert await read(client) == {"s:c1": 4}
    assert await marked(client) == set() and not await client.exists(KEYS.learners, KEYS.history("u"))


async def test_activity_does_not_move_a_learner_who_enrolled(client: Client, view: ShardView) -> None:
    enrolled = Enrolled(event_id="e", user_id="u", course_id="c", occurred_at=1)
    await merge(client, view, [Logged(enrolled, LATE_MS)], 0, 0)
    await take(client, view, [viewed("c1", 2)], 40)
    assert await read_scores(client, KEYS.learners) == {"u": 0}
    header: Any = await client.hget(KEYS.history("u"), HEADER_FIELD)
    assert unpack_header(header)[:2] == (0, 40)


async def test_what_was_erased_stays_away(client: Client, view: ShardView) -> None:
    await take(client, view, [viewed("c1", 100), searched("old", 100)])
    erased = Logged(Erased(event_id="e", user_id="u", occurred_at=1), 1_000_000)  # erased through second 1,300
    await merge(client, view, [erased], 0, 0)
    assert await read(client) == {}
    await take(client, view, [searched("old", 1_300)], 5)
    assert not await client.exists(KEYS.activity("u"))
    late: list[ActivityEvent] = [
        viewed("c1", 1_300),
        viewed("c2", 1_301),
        searched("old", 1_300),
        searched("new", 1_301),
    ]
    await take(client, view, late, 6)
    assert await read(client) == {"v:c2": 1_301, "q": [(1_301, "new")]}


async def test_activity_expires(client: Client, view: ShardView) -> None:
    await take(client, view, [viewed("c1", 1)])
    await client.expire(KEYS.activity("u"), 10)
    await take(client, view, [shown("c1", 2)], 1)
    assert TTL_S - 10 < await client.ttl(KEYS.activity("u")) <= TTL_S


async def test_there_is_a_bound_on_the_courses_remembered(client: Client, view: ShardView) -> None:
    await take(client, view, [viewed(f"c{i}", 1) for i in range(MAX_COURSES + 5)])
    await take(client, view, [viewed("c0", 9), viewed("another", 9)], MAX_COURSES + 5)
    found = await read(client)
    assert len(found) == MAX_COURSES and found["v:c0"] == 9 and "v:another" not in found


async def test_another_nonce_is_ignored(client: Client, view: ShardView) -> None:
    before = await contents(client)
    await take(client, ShardView(KEYS, "0" * 32), [viewed("c1", 1)])
    assert await contents(client) == before


async def test_a_retired_shard_takes_nothing(client: Client, view: ShardView) -> None:
    await view.set_status(client, Status.RETIRED)
    before = await contents(client)
    await take(client, view, [viewed("c1", 1)])
    assert await contents(client) == before


def test_what_is_no_activity_is_dead_and_its_neighbours_live() -> None:
    enrolled = Enrolled(event_id="e", user_id="u", course_id="c", occurred_at=1)
    records = [record_of(viewed("c1", 1), 0), record_of(enrolled, 1), record_of(viewed("c2", 1), 2)]
    joined, dead = join_activity(records, CONTROL)
    assert [(one.record.offset, one.error.field) for one in dead] == [(1, "type")]
    assert joined[0]["u"].fields == {"v:c1": 1_000_000, "v:c2": 1_000_000} and joined[0]["u"].offset == 2


def test_updates_are_joined_by_learner() -> None:
    records = [record_of(viewed("c1", 1, user), place) for place, user in enumerate(["a", "b", "a"])]
    joined, _ = join_activity(records, CONTROL)
    assert {user: update.offset for user, update in joined[0].items()} == {"a": 2, "b": 1}
