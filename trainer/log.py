"""The log up to captured ends: events and courses, what they were taken from, and their digest."""

import hashlib
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Final, cast

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from adapters.follow import Catalogue, ControlLog
from adapters.kafka import open_reader, partitions_of
from adapters.records import event_or_none
from recommender.fold import erased_through_us
from schemas.courses import Course, encode_course
from schemas.errors import LogTruncatedError, NotReadyError
from schemas.events import LEARNER_EVENTS as EVENT_TYPES
from schemas.events import AnyEvent, Erased, LearnerEvent, encode_event
from schemas.ids import event_uuid
from schemas.topics import COURSES, LEARNER_EVENTS

_RANK: Final = {kind: rank for rank, kind in enumerate(EVENT_TYPES)}
FETCH_BYTES: Final = 4 << 20
_MAX_RECORDS: Final = 5_000
_POLL_MS: Final = 500
_STALL_S: Final = 60

Ends = dict[TopicPartition, int]


@dataclass(frozen=True, eq=False)
class Log:
    """What a model is made from. Equal logs have equal digests, whatever order their records were appended in."""

    events: list[LearnerEvent]
    """Each learner's events together, in the order of their stamps; without duplicates and what was erased."""
    courses: dict[str, Course]
    offsets: dict[str, list[int]]
    """End offset (the next one) of each partition, by topic."""
    digest: str
    dead_letters: int = 0
    """Records that are no valid events, as the stream decides it."""


def order_of(event: LearnerEvent) -> tuple[str, int, int, bytes, bytes]:
    """Return what the events of a log are sorted by: learner, then the order of registers."""
    return event.user_id, event.occurred_us, _RANK[type(event)], event_uuid(event.event_id), encode_event(event)


def erasures(pairs: Iterable[tuple[AnyEvent, int]]) -> dict[str, int]:
    """Return up to which moment, in us, the erasures among (event, append time in ms) delete, by learner."""
    erased: dict[str, int] = {}
    for event, appended_ms in pairs:
        if isinstance(event, Erased):
            erased[event.user_id] = max(erased.get(event.user_id, 0), erased_through_us(appended_ms))
    return erased


def snapshot(
    events: Iterable[tuple[LearnerEvent, int]],
    courses: dict[str, Course],
    offsets: dict[str, list[int]],
    dead_letters: int = 0,
) -> Log:
    """Return the log of (event, append time in ms), in canonical order, without duplicates and what was erased."""
    pairs = list(events)
    erased = erasures(pairs)
    kept = {
        order_of(event): event
        for event, _ in pairs
        if not isinstance(event, Erased) and event.occurred_us > erased.get(event.user_id, -1)
    }
    keys = sorted(kept)
    sha256 = hashlib.sha256()
    for key in keys:
        sha256.update(key[-1] + b"\n")
    for course_id in sorted(courses):
        sha256.update(encode_course(courses[course_id]) + b"\n")
    return Log([kept[key] for key in keys], courses, offsets, sha256.hexdigest(), dead_letters)


async def read_log(bootstrap_servers: str, as_of_ms: int | None = None, with_events: bool = True) -> Log:
    """Read `learner-events` and `courses` to the ends they have now, or had at `as_of_ms` (append time, inclusive).

    Who was erased since then is left out of the past, too. Without events only the courses are read, and the offsets
    are theirs alone.
    Raises LogTruncatedError if records vanish while they are read, NotReadyError if the broker delivers nothing.
    """
    async with ControlLog(bootstrap_servers) as control:
        quarantined, shards = control.state.quarantined, control.state.partitions
    catalogue = Catalogue(bootstrap_servers)
    events: list[tuple[LearnerEvent, int]] = []
    dead_letters = 0
    async with open_reader(bootstrap_servers, max_partition_fetch_bytes=FETCH_BYTES) as consumer:
        topics = (LEARNER_EVENTS, COURSES) if with_events else (COURSES,)
        ends = await captured_ends(consumer, topics, as_of_ms)
        latest = ends if as_of_ms is None else {**ends, **await captured_ends(consumer, topics[:-1])}
        async for record in records_between(consumer, await consumer.beginning_offsets(list(ends)), latest):
            if record.topic == COURSES:
                catalogue.take(record)
                continue
            is_later = record.offset >= ends[TopicPartition(record.topic, record.partition)]
            event = event_or_none(record, shards, quarantined)
            if event is None:
                dead_letters += not is_later
            else:
                if not is_later or isinstance(event, Erased):
                    events.append((cast("LearnerEvent", event), record.timestamp))
    return snapshot(events, catalogue.courses, offset_vectors(ends), dead_letters)


async def holds_erased(bootstrap_servers: str, log: Log) -> bool:
    """Whether the log, as it was read, holds what an erasure that was appended later deletes."""
    async with ControlLog(bootstrap_servers) as control:
        state = control.state
    pairs: list[tuple[LearnerEvent, int]] = []
    async with open_reader(bootstrap_servers, max_partition_fetch_bytes=FETCH_BYTES) as consumer:
        ends = await captured_ends(consumer, (LEARNER_EVENTS,))
        starts = dict(zip(sorted(ends), log.offsets[LEARNER_EVENTS], strict=True))
        async for record in records_between(consumer, starts, ends):
            event = event_or_none(record, state.partitions, state.quarantined)
            if isinstance(event, Erased):
                pairs.append((event, record.timestamp))
    erased = erasures(pairs)
    return any(event.occurred_us <= erased.get(event.user_id, -1) for event in log.events)


async def captured_ends(consumer: AIOKafkaConsumer, topics: Iterable[str], as_of_ms: int | None = None) -> Ends:
    """Return the end of each partition of the topics, now or at a moment (inclusive)."""
    partitions = [one for topic in topics for one in await partitions_of(consumer, topic)]
    ends: Ends = dict(await consumer.end_offsets(partitions))
    if as_of_ms is not None:
        later = await consumer.offsets_for_times(dict.fromkeys(partitions, as_of_ms + 1))
        ends.update({one: found.offset for one, found in later.items() if found is not None})
    return ends


def offset_vectors(ends: Ends) -> dict[str, list[int]]:
    """Return the ends by topic, in the order of partitions.

    >>> offset_vectors({TopicPartition("courses", 0): 7})
    {'courses': [7]}
    """
    topics = sorted({partition.topic for partition in ends})
    return {topic: [ends[one] for one in sorted(ends) if one.topic == topic] for topic in topics}


async def records_between(consumer: AIOKafkaConsumer, starts: Ends, ends: Ends) -> AsyncIterator[ConsumerRecord]:
    """Yield what lies between, all partitions at once; positions prove that nothing was passed over.

    Raises LogTruncatedError if records vanish while they are read, NotReadyError if the broker delivers nothing.
    """
    pending = {partition for partition in ends if starts[partition] < ends[partition]}
    consumer.assign(list(pending))
    for partition in pending:
        consumer.seek(partition, starts[partition])
    last_progress = time.monotonic()
    while pending:
        try:
            batches = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_MAX_RECORDS)
        except OffsetOutOfRangeError as error:
            raise LogTruncatedError(f"records vanished while the log was read: {error}") from None
        for partition, batch in batches.items():
            for record in batch:
                if record.offset < ends[partition]:
                    yield record
        for partition in [one for one in pending if await consumer.position(one) >= ends[one]]:
            pending.remove(partition)
            consumer.pause(partition)
        if batches:
            last_progress = time.monotonic()
        elif time.monotonic() - last_progress > _STALL_S:
            raise NotReadyError(f"Kafka has delivered nothing for {_STALL_S} s; the log could not be read to its end")
