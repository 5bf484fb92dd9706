"""Producing to the log and reading it without a group."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaConnectionError, OffsetOutOfRangeError
from aiokafka.partitioner import murmur2

from adapters.brokers import begin_anew_without_brokers
from adapters.lenient import accept_any_header_name
from schemas.errors import LogTruncatedError

_POLL_MS: Final = 500
_METADATA_S: Final = 15.0

accept_any_header_name()
begin_anew_without_brokers()


@lru_cache(maxsize=200_000)
def shard_of(user_id: str, partitions: int) -> int:
    """Return the partition that Kafka's default (murmur2) partitioner gives a learner's key.

    >>> shard_of("u1", 16)
    0
    """
    return int((murmur2(user_id.encode()) & 0x7FFFFFFF) % partitions)


@asynccontextmanager
async def open_producer(bootstrap_servers: str, **settings: Any) -> AsyncIterator[AIOKafkaProducer]:
    """Open a producer that waits for all replicas; an idempotent one unless said otherwise."""
    usual = {"enable_idempotence": True, "acks": "all", "linger_ms": 2}
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, **{**usual, **settings})
    try:
        await producer.start()
        yield producer
    finally:
        await producer.stop()


@asynccontextmanager
async def open_reader(bootstrap_servers: str, **settings: Any) -> AsyncIterator[AIOKafkaConsumer]:
    """Open a consumer without a group: it reads what it is told, commits nothing, sees committed records only."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        **{"fetch_max_wait_ms": 100, **settings},
    )
    try:
        await consumer.start()
        yield consumer
    finally:
        await _stop(consumer)


async def _stop(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer, and let nothing pass for a cancellation of the task that stops it.

    The client cancels a fetch that has failed and waits for its next attempt, and awaits it (aiokafka 0.14,
    `Fetcher.close`): our task would end without a word.
    """
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        await consumer._client.close()
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise


async def _know_topics(consumer: AIOKafkaConsumer) -> None:
    """Fetch the metadata, which a group-less consumer lacks at first.

    A broker that has just come back names neither brokers nor topics for a moment: then no topic seems to exist.
    """
    end_s = time.monotonic() + _METADATA_S
    while not await consumer._client.force_metadata_update():
        if time.monotonic() > end_s:
            raise KafkaConnectionError("no broker says which topics there are")
        await asyncio.sleep(0.1)


async def partitions_of(consumer: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
    """Return a topic's partitions in order; empty if the topic does not exist. Raises KafkaError if no broker tells."""
    await _know_topics(consumer)
    numbers = consumer.partitions_for_topic(topic) or set()
    return [TopicPartition(topic, number) for number in sorted(numbers)]


async def end_offsets(consumer: AIOKafkaConsumer, topic: str) -> dict[TopicPartition, int]:
    """Return the end offset (the next to be written) of each partition of a topic, in order."""
    ends: Mapping[TopicPartition, int] = await consumer.end_offsets(await partitions_of(consumer, topic))
    return dict(sorted(ends.items()))


async def read_range(
    consumer: AIOKafkaConsumer, partition: TopicPartition, start: int, end: int, max_records: int = 2_000
) -> AsyncIterator[tuple[list[ConsumerRecord], int]]:
    """Yield (records, position) until the position reaches `end`: what lies below `position` has been read.

    The position is the proof of what was read, since offsets may be missing (transactions, compaction).
    Raises LogTruncatedError if the log no longer has `start`.
    """
    if start >= end:  # a consumer that is stopped just as it was assigned anew loses the cancellation, and never stops
        return
    consumer.assign([partition])
    consumer.seek(partition, start)
    while start < end:
        try:
            batch = await consumer.getmany(partition, timeout_ms=_POLL_MS, max_records=max_records)
            start = min(await consumer.position(partition), end)
        except OffsetOutOfRangeError:
            raise LogTruncatedError(
                f"{partition.topic}:{partition.partition} no longer holds offset {start}: records were lost"
            ) from None
        yield [record for record in batch.get(partition, []) if record.offset < end], start


async def records_held(
    consumer: AIOKafkaConsumer,
    partitions: Collection[TopicPartition],
    begins: Mapping[TopicPartition, int] | None = None,
) -> AsyncIterator[ConsumerRecord]:
    """Yield the records that partitions hold now, one partition after the other, from `begins` on where it is given."""
    starts = {**await consumer.beginning_offsets(list(partitions)), **(begins or {})}
    ends = await consumer.end_offsets(list(partitions))
    for partition in partitions:
        async for records, _ in read_range(consumer, partition, starts[partition], ends[partition]):
            for record in records:
                yield record
