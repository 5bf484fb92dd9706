"""Real workers over a real Kafka and Redis: what arrives, what survives, and what no reader ever sees."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, NamedTuple

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from adapters.kafka import shard_of
from schemas.candidates import unpack_candidates
from schemas.events import Viewed
from schemas.keys import SHARED_CARDS, SHARED_META, SHARED_POPULAR, SHARED_SIMILAR
from schemas.meta import Status
from schemas.topics import ACTIVITY, DEAD_LETTERS, LEARNER_EVENTS
from tests import reference
from tests.integration.campus import (
    Tools,
    committed,
    enrolled,
    expect_owners,
    expect_whole,
    has_committed,
    listed,
    some_event,
    state_of,
    streaming,
    watched,
)
from tests.integration.workers import (
    PARTITIONS,
    System,
    connected,
    publish,
    read_topic,
    running_system,
    send,
    shard_of_user,
)
from tests.reference import Logged
from tests.shard_state import read_learners
from tests.waiting import until

WORKERS: Final = ("w1", "w2")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Run two workers over four shards with a live model."""
    with running_system(tmp_path_factory.mktemp("stream"), WORKERS) as running:
        yield running


@pytest.fixture
async def tools(system: System) -> AsyncIterator[Tools]:
    """Connect, and begin with both workers running and all caught up."""
    for worker_id in WORKERS:
        if worker_id not in system.processes:
            system.start(worker_id)
    async with connected(system) as (client, producer):
        await system.caught_up(client)
        yield Tools(system, client, producer)


# What arrives.


async def test_the_state_is_what_the_events_say(tools: Tools) -> None:
    dice, users = random.Random(3), [f"state-{i}" for i in range(40)]
    log = await publish(tools.producer, [some_event(dice, users) for _ in range(1_500)])
    log += await publish(tools.producer, [entry.event for entry in dice.sample(log, 300)])
    await expect_whole(tools)
    states = {user: state for user, state in (await state_of(tools.client)).items() if user.startswith("state-")}
    assert states == reference.learners(log)


async def test_an_enrolment_changes_the_list_within_a_moment(tools: Tools) -> None:
    await send(tools.producer, enrolled("reader", 1))
    await tools.system.caught_up(tools.client)
    first = (await listed(tools.client, "reader")).candidates[0].course_id
    offset: int = (await send(tools.producer, enrolled("reader", 2, first))).offset
    began = time.monotonic()

    async def holds() -> bool:
        return (await listed(tools.client, "reader")).version.learner_offset == offset

    await until(holds, "the list that knows the enrolment", 10)
    assert time.monotonic() - began < 2
    assert first not in [candidate.course_id for candidate in (await listed(tools.client, "reader")).candidates]


async def test_a_view_changes_the_list_too(tools: Tools) -> None:
    await expect_owners(tools.system)
    await asyncio.sleep(1)  # what is viewed while shards change hands is let go
    sent = await send(tools.producer, Viewed(event_id="v", user_id="viewer", course_id="c03", occurred_at=1))

    async def holds() -> bool:
        packed: Any = await tools.client.get(shard_of_user("viewer").candidates("viewer"))
        return bool(packed and unpack_candidates(packed).version.activity_offset == sent.offset)

    await until(holds, "the list that knows the view", 10)


async def test_the_halves_of_a_shard_have_one_owner(tools: Tools) -> None:
    await expect_owners(tools.system)


async def test_nothing_is_committed_before_it_is_merged(tools: Tools) -> None:
    """While the server does not answer nothing can be merged; what arrives must then stay uncommitted."""
    learner, client = "committer", tools.client
    place = shard_of_user(learner).shard

    async def append(second: int) -> tuple[int, int]:
        viewed = Viewed(event_id="v", user_id=learner, course_id="c1", occurred_at=second)
        sent = await send(tools.producer, enrolled(learner, second)), await send(tools.producer, viewed)
        return sent[0].offset, sent[1].offset

    before = await append(1)
    await until(lambda: has_committed(tools, place, *before), "the first commit", 15)
    await client.client_pause(2_500)
    after = await append(2)
    await asyncio.sleep(2.0)  # twice as long as Faust waits before it commits
    found = await committed(tools.system)
    assert found[LEARNER_EVENTS, place] <= after[0] and found[ACTIVITY, place] <= after[1]
    await until(lambda: has_committed(tools, place, *after), "the second commit", 15)


# What is no event.


class Malformed(NamedTuple):
    """A record that is no event: what it holds, and what its dead letter must say."""

    topic: str
    value: bytes | None
    field: str
    reason: str


def _json(**changes: object) -> bytes:
    body = {"type": "enrolled", "event_id": "e", "user_id": "bad", "course_id": "c", "occurred_at": 5, **changes}
    return json.dumps({name: value for name, value in body.items() if value is not None}).encode()


FUTURE: Final = 4_000_000_000
MALFORMED: Final = (
    Malformed(LEARNER_EVENTS, b"no json", "", "malformed"),
    Malformed(LEARNER_EVENTS, b"", "", "truncated"),
    Malformed(LEARNER_EVENTS, None, "", "no value"),
    Malformed(LEARNER_EVENTS, b"\xff\xfe", "", ""),
    Malformed(LEARNER_EVENTS, b"[" * 50_000, "", ""),
    Malformed(LEARNER_EVENTS, _json(course_id=None), "course_id", "missing"),
    Malformed(LEARNER_EVENTS, _json(type="danced"), "type", "danced"),
    Malformed(LEARNER_EVENTS, _json(type="progressed", value=1.7), "value", "1.0"),
    Malformed(LEARNER_EVENTS, _json(type="rated", value=9), "value", "scale"),
    Malformed(LEARNER_EVENTS, _json(user_id="n\0ul"), "user_id", ""),
    Malformed(LEARNER_EVENTS, _json(course_id="c" * 10_000), "course_id", ""),
    Malformed(LEARNER_EVENTS, _json(occurred_at="2026-01-01T00:00:00"), "occurred_at", ""),
    Malformed(LEARNER_EVENTS, _json(occurred_at=FUTURE), "occurred_at", "future"),
    Malformed(LEARNER_EVENTS, _json(schema_version=2), "schema_version", ""),
    Malformed(LEARNER_EVENTS, _json(review="x" * 70_000), "", "65536"),
    Malformed(LEARNER_EVENTS, _json(type="viewed"), "type", "does not belong"),
    Malformed(LEARNER_EVENTS, _json(user_id="elsewhere"), "user_id", "another partition"),
    Malformed(ACTIVITY, _json(), "type", "does not belong"),
    Malformed(ACTIVITY, b"no json", "", "malformed"),
)


async def test_what_is_no_event_is_a_dead_letter_and_its_neighbours_are_unharmed(tools: Tools) -> None:
    shard = (shard_of("elsewhere", PARTITIONS) + 1) % PARTITIONS
    users = [user for user in (f"neighbour-{i}" for i in range(400)) if shard_of(user, PARTITIONS) == shard]
    expected: dict[tuple[str, int, int], Malformed] = {}
    log: list[Logged] = []
    for user, bad in zip(users, MALFORMED, strict=False):
        log += await publish(tools.producer, [enrolled(user, 1)])
        sent = await tools.producer.send_and_wait(bad.topic, bad.value, key=b"their key", partition=shard)
        expected[bad.topic, shard, sent.offset] = bad
        log += await publish(tools.producer, [enrolled(user, 2, "c07")])
    assert len(expected) == len(MALFORMED)
    await expect_whole(tools)
    states = await state_of(tools.client)
    wanted = reference.learners(log)
    assert {user: states.get(user) for user in wanted} == wanted
    await until(lambda: _letters(tools, expected), "a dead letter each", 10)


async def _letters(tools: Tools, expected: dict[tuple[str, int, int], Malformed]) -> bool:
    """Return whether each of these has a dead letter, which then must say the truth."""
    found = set()
    for letter in await read_topic(tools.system, DEAD_LETTERS):
        headers = {name: value.decode() for name, value in letter.headers}
        place = (headers["source-topic"], int(headers["source-partition"]), int(headers["source-offset"]))
        if place in expected:
            bad = expected[place]
            assert letter.value == bad.value and letter.key == b"their key"
            assert headers["field"] == bad.field and bad.reason in headers["reason"] and headers["reason"]
            found.add(place)
    return found == expected.keys()


# What survives.


async def test_a_worker_killed_in_the_stream_loses_and_doubles_nothing(tools: Tools) -> None:
    system, users = tools.system, [f"killed-{i}" for i in range(200)]
    async with streaming(tools, users) as log:
        await asyncio.sleep(0.8)
        system.kill("w1")
        await asyncio.sleep(0.4)
        system.start("w1")
        await asyncio.sleep(2.0)
    assert len(log) > 1_500
    await expect_whole(tools)
    states = {user: state for user, state in (await state_of(tools.client)).items() if user.startswith("killed-")}
    assert states == reference.learners(log)


async def test_a_server_emptied_in_the_stream_comes_back_and_no_half_history_is_live(tools: Tools) -> None:
    users = [f"emptied-{i}" for i in range(100)]
    await publish(tools.producer, [enrolled(user, 1) for user in users])
    await tools.system.caught_up(tools.client)
    async with watched(tools, users) as looks, streaming(tools, [f"meanwhile-{i}" for i in range(100)]):
        await asyncio.sleep(0.3)
        await tools.client.flushall()
        await asyncio.sleep(1.5)
        await until(lambda: _all_live(tools), "every shard live again", 30)
    await expect_whole(tools)
    statuses = {status for status, *_ in looks}
    assert {"absent", Status.BUILDING, Status.LIVE} <= statuses
    bad = [look for look in looks if look.status == Status.LIVE and (look.behind > 0 or look.missing > 0)]
    assert not bad


async def _all_live(tools: Tools) -> bool:
    return all(meta is not None and meta.status == Status.LIVE for meta in await tools.system.metas(tools.client))


async def test_a_server_emptied_while_idle_comes_back_with_its_lists(tools: Tools) -> None:
    await publish(tools.producer, [enrolled(f"idle-{i}", 1) for i in range(50)])
    await tools.system.caught_up(tools.client)
    await tools.client.flushall()
    await expect_whole(tools)
    for i in range(50):
        assert (await listed(tools.client, f"idle-{i}")).candidates

    async def holds() -> bool:
        return await tools.client.exists(SHARED_META, SHARED_POPULAR, SHARED_SIMILAR, SHARED_CARDS) == 4

    await until(holds, "the shared lists", 10)


async def test_a_restored_backup_is_brought_up_to_date(tools: Tools) -> None:
    client, keys = tools.client, shard_of_user("backup")
    await publish(tools.producer, [enrolled("backup", 1)])
    await tools.system.caught_up(client)
    found: Any = await client.keys(f"{keys.prefix}*")
    backup: Any = {key: await client.dump(key) for key in found}
    await publish(tools.producer, [enrolled("backup", second, f"c{second:02d}") for second in range(2, 9)])
    await tools.system.caught_up(client)
    now: Any = await client.keys(f"{keys.prefix}*")
    pipeline = client.pipeline(transaction=True)
    pipeline.delete(*now)
    for key, packed in backup.items():
        pipeline.restore(key, 0, packed)
    await pipeline.execute()
    await expect_whole(tools)
    assert set((await state_of(client))["backup"].courses) == {f"c{second:02d}" for second in range(2, 9)} | {"c05"}


async def test_a_state_under_another_nonce_is_noticed_while_idle(tools: Tools) -> None:
    keys, said = shard_of_user("nonce"), tools.system.log().count("state lost")
    await tools.client.hset(keys.meta, "nonce", "0" * 32)

    async def holds() -> bool:
        return tools.system.log().count("state lost") > said

    await until(holds, "the timer", 10)
    await publish(tools.producer, [enrolled("nonce", 1)])
    await expect_whole(tools)


async def test_a_worker_ends_at_once_when_told_and_finds_its_shards_again(tools: Tools) -> None:
    system = tools.system
    async with streaming(tools, [f"term-{i}" for i in range(100)]):
        await asyncio.sleep(0.5)
        status, seconds = await asyncio.to_thread(system.stop, "w2")
        assert (status, seconds < 4.0) == (0, True)
        system.start("w2")
        await asyncio.sleep(1.0)
    began = time.monotonic()
    await expect_whole(tools)
    assert time.monotonic() - began < 10
    await expect_owners(system)


async def test_a_log_that_lost_what_was_not_merged_raises_an_alarm_and_the_shard_is_rebuilt(tools: Tools) -> None:
    """An old backup is restored over a log whose beginning is gone: there is no way to know what was between."""
    system, client, keys = tools.system, tools.client, shard_of_user("truncated")
    await publish(tools.producer, [enrolled("truncated", second) for second in (1, 2)])
    await system.caught_up(client)
    end = (await system.ends())[keys.shard]
    admin = AIOKafkaAdminClient(bootstrap_servers=system.stack.bootstrap_servers)
    await admin.start()
    partition = TopicPartition(LEARNER_EVENTS, keys.shard)
    await admin.delete_records({partition: RecordsToDelete(before_offset=end - 1)})
    await admin.close()
    await client.hset(keys.meta, "applied", str(end - 10))

    async def holds() -> bool:
        return f"ALARM: {LEARNER_EVENTS}:{keys.shard}" in system.log()

    await until(holds, "the alarm", 10)
    await expect_whole(tools)
    assert set(await read_learners(client, keys)) == {"truncated"}
