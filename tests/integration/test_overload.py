"""Too much at once over a real Kafka: what is refused and when, and who is not held up by whom."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Iterator
from functools import lru_cache
from typing import Any, Final

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from adapters.kafka import end_offsets, open_producer, open_reader, read_range
from api.intake import LEAST_BYTES
from deploy.embedded import EmbeddedStack, embedded
from schemas.events import decode_event
from schemas.topics import ACTIVITY, LEARNER_EVENTS
from stream.faust_driver import POLLED, fetch_fairly
from tests.api_server import PARTITIONS, bearer, running_api
from tests.waiting import until

PATIENCE_S: Final = 90.0
HELD: Final = 30
"""Requests that fit in at once: half of them of one caller."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """A stack of its own: its Kafka is stopped, its topics are counted."""
    with embedded(tmp_path_factory.mktemp("overload"), partitions=PARTITIONS) as running:
        yield running


# What is refused.


@pytest.fixture(scope="module")
def api_url(stack: EmbeddedStack) -> Iterator[str]:
    """Run an API that takes little at once and waits long."""
    settings = {"MAX_INGEST_BYTES": str(HELD * LEAST_BYTES), "MAX_BODY_BYTES": "120000", "INGEST_TIMEOUT_S": "120"}
    with running_api(stack.bootstrap_servers, stack.redis_url, **settings) as client:
        yield str(client.base_url)


@pytest.fixture
async def http(api_url: str) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=500)
    async with httpx.AsyncClient(base_url=api_url, timeout=PATIENCE_S, limits=limits) as client:
        yield client


@lru_cache
def header_of(caller: str) -> dict[str, str]:
    """Return a caller's header: who writes is told by the token."""
    return bearer(caller)


async def enrol(http: httpx.AsyncClient, caller: str, number: int) -> httpx.Response:
    event = {"type": "enrolled", "event_id": f"{caller}{number}", "user_id": f"{caller}{number}", "course_id": "c"}
    return await http.post("/v1/events", json=event, headers=header_of(caller))


async def event_ids(stack: EmbeddedStack) -> set[str]:
    """Return the events of the log."""
    found: set[str] = set()
    async with open_reader(stack.bootstrap_servers) as reader:
        for partition, end in (await end_offsets(reader, LEARNER_EVENTS)).items():
            async for records, _ in read_range(reader, partition, 0, end):
                found |= {str(decode_event(record.value).event_id) for record in records}
    return found


async def test_what_is_too_much_is_refused_at_once_and_what_was_taken_is_kept(
    stack: EmbeddedStack, http: httpx.AsyncClient
) -> None:
    os.kill(stack.pids["kafka"], signal.SIGSTOP)
    try:
        asked = [asyncio.create_task(enrol(http, caller, number)) for number in range(40) for caller in ("a", "b", "c")]

        async def the_rest_is_answered() -> bool:
            return sum(task.done() for task in asked) == len(asked) - HELD

        await until(the_rest_is_answered, "an answer to all that does not fit", PATIENCE_S)
        refused = [task.result() for task in asked if task.done()]
        assert {answer.status_code for answer in refused} == {503}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        assert {answer.headers["content-type"] for answer in refused} == {"application/problem+json"}
        held = [task for task in asked if not task.done()]
        (under_way,) = re.findall(r"(?m)^coursestream_ingest_bytes (\S+)$", (await http.get("/metrics")).text)
        assert float(under_way) == HELD * LEAST_BYTES
        assert (await http.get("/v1/learners/x/recommendations", headers=bearer("x"))).status_code == 200

        async def says_how_slow_it_is() -> bool:
            return int((await enrol(http, "a", 1_000)).headers["retry-after"]) >= 3

        await until(says_how_slow_it_is, "an advice that follows how long writes take", PATIENCE_S)
    finally:
        os.kill(stack.pids["kafka"], signal.SIGCONT)
    answers = await asyncio.gather(*held)
    assert {answer.status_code for answer in answers} == {202}
    assert (await enrol(http, "a", 2_000)).status_code == 202, "there is room again"
    log = await event_ids(stack)
    assert len(log) == HELD + 1


async def test_one_caller_leaves_room_for_the_others(stack: EmbeddedStack, http: httpx.AsyncClient) -> None:
    os.kill(stack.pids["kafka"], signal.SIGSTOP)
    try:
        asked = [asyncio.create_task(enrol(http, "greedy", number)) for number in range(60)]

        async def the_rest_is_answered() -> bool:
            return sum(task.done() for task in asked) == len(asked) - HELD // 2

        await until(the_rest_is_answered, "an answer to all beyond the caller's half", PATIENCE_S)
        modest = asyncio.create_task(enrol(http, "modest", 1))
        await asyncio.wait([modest], timeout=1.0)
        assert not modest.done(), "it was let in"
    finally:
        os.kill(stack.pids["kafka"], signal.SIGCONT)
    assert (await modest).status_code == 202
    await asyncio.gather(*asked)


# Who is not held up.


async def fill(stack: EmbeddedStack, topic: str, partition: int, number: int, key: bytes) -> None:
    async with open_producer(stack.bootstrap_servers, max_batch_size=200_000) as producer:
        sent = [await producer.send(topic, b"x" * 100, key=key, partition=partition) for _ in range(number)]
        await asyncio.gather(*sent)


async def _at_the_ends(stack: EmbeddedStack) -> dict[TopicPartition, int]:
    async with open_reader(stack.bootstrap_servers) as reader:
        return {**await end_offsets(reader, LEARNER_EVENTS), **await end_offsets(reader, ACTIVITY)}


async def test_a_poll_has_something_of_every_partition_and_weak_signals_a_share(stack: EmbeddedStack) -> None:
    """A hot learner fills one partition, a flood of views the others: a lone event is still in the next poll."""
    starts = await _at_the_ends(stack)
    await fill(stack, LEARNER_EVENTS, 0, 6_000, b"hot")
    for partition in range(PARTITIONS):
        await fill(stack, ACTIVITY, partition, 3_000, b"views")
    await fill(stack, LEARNER_EVENTS, 1, 1, b"lone")
    async with open_reader(stack.bootstrap_servers) as reader:
        reader.assign(list(starts))
        for place, offset in starts.items():
            reader.seek(place, offset)
        await _has_fetched(reader, {TopicPartition(LEARNER_EVENTS, 0), TopicPartition(LEARNER_EVENTS, 1)})
        await _has_fetched(reader, {TopicPartition(ACTIVITY, partition) for partition in range(PARTITIONS)})
        first = await _poll(reader, starts)
        second = await _poll(reader, starts)
    by_topic: dict[str, int] = {LEARNER_EVENTS: 0, ACTIVITY: 0}
    for place, records in first.items():
        by_topic[place.topic] += len(records)
    assert [record.key for record in first[TopicPartition(LEARNER_EVENTS, 1)]] == [b"lone"]
    assert len(first[TopicPartition(LEARNER_EVENTS, 0)]) == POLLED // 2
    assert by_topic[ACTIVITY] == POLLED // 5, "weak signals neither hold hard events back nor are starved"
    offsets = [record.offset for records in (first, second) for record in records[TopicPartition(LEARNER_EVENTS, 0)]]
    begin = starts[TopicPartition(LEARNER_EVENTS, 0)]
    assert offsets == list(range(begin, begin + len(offsets))), "nothing is skipped between polls"


async def _has_fetched(reader: AIOKafkaConsumer, places: set[TopicPartition]) -> None:
    async def holds() -> bool:
        return bool(places <= reader._fetcher._records.keys())

    await until(holds, f"records of {places}", PATIENCE_S)


async def _poll(reader: AIOKafkaConsumer, places: dict[TopicPartition, int]) -> dict[Any, list[Any]]:
    with reader._fetcher._subscriptions.fetch_context():
        return await fetch_fairly(reader._fetcher, set(places), 5.0)
