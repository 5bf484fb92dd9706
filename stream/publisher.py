"""Publishing courses and events to the log at full speed: what is counted as published was acknowledged by Kafka."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from adapters.kafka import open_producer, shard_of
from schemas.courses import Course, encode_course
from schemas.errors import NotReadyError
from schemas.events import LEARNER_EVENTS, AnyEvent, encode_event
from schemas.topics import ACTIVITY, COURSES, MAX_MESSAGE_BYTES
from schemas.topics import LEARNER_EVENTS as LEARNER_EVENTS_TOPIC

Progress = Callable[[int], None]
"""Called with the number of records that were acknowledged since the last call."""

MAX_IN_FLIGHT: Final = 20_000
ANSWER_S: Final = 60.0
"""How long Kafka may take to acknowledge a record; an idempotent producer itself would try for ever."""

_LINGER_MS: Final = 5
_BATCH_BYTES: Final = 262_144
_PACE_S: Final = 0.01
"""How far a paced publisher runs ahead of its schedule: shorter sleeps cost more than they space."""


def _ignore(_: int) -> None:
    """Show no progress."""


@asynccontextmanager
async def open_publisher(bootstrap_servers: str, **settings: Any) -> AsyncIterator[AIOKafkaProducer]:
    """Open a producer made for many records: large batches, idempotent, acknowledged by all replicas."""
    large = {"linger_ms": _LINGER_MS, "max_batch_size": _BATCH_BYTES, "max_request_size": MAX_MESSAGE_BYTES}
    async with open_producer(bootstrap_servers, **{**large, **settings}) as producer:
        try:
            yield producer
        except BaseException:
            producer._sender.sender_task.cancel()  # or closing it would wait for the lost records for ever
            raise


class Publisher:
    """Sends records without waiting for each, at most `MAX_IN_FLIGHT` unacknowledged, and counts what arrived."""

    def __init__(self, producer: AIOKafkaProducer, progress: Progress = _ignore) -> None:
        self._producer = producer
        self._progress = progress
        self._in_flight: deque[asyncio.Future[Any]] = deque()
        self._partitions: dict[str, int] = {}
        self.acknowledged = 0

    async def send(self, topic: str, key: str, value: bytes) -> None:
        """Hand a record to the producer; waits only while too many are unacknowledged.

        Raises NotReadyError if Kafka refused an earlier record or does not answer.
        """
        if len(self._in_flight) >= MAX_IN_FLIGHT:
            await self._settle(MAX_IN_FLIGHT // 2)
        try:
            partitions = self._partitions.get(topic) or await self._count_partitions(topic)
            sent = await self._producer.send(topic, value, key.encode(), partition=shard_of(key, partitions))
        except KafkaError as error:
            self._give_up()
            raise self._failure(error) from error
        self._in_flight.append(sent)

    async def send_event(self, event: AnyEvent) -> None:
        """Hand an event to the topic it belongs in, under its learner's key."""
        topic = LEARNER_EVENTS_TOPIC if isinstance(event, LEARNER_EVENTS) else ACTIVITY
        await self.send(topic, event.user_id, encode_event(event))

    async def flush(self) -> None:
        """Wait until everything sent so far is acknowledged, or raise NotReadyError."""
        await self._settle(len(self._in_flight))

    async def _count_partitions(self, topic: str) -> int:
        self._partitions[topic] = len(await self._producer.partitions_for(topic))
        return self._partitions[topic]

    async def _settle(self, count: int) -> None:
        """Wait for the oldest `count` records."""
        for done in range(count):
            sent = self._in_flight.popleft()
            try:
                if not sent.done():
                    await asyncio.wait_for(sent, ANSWER_S)
                sent.result()
            except (KafkaError, TimeoutError) as error:
                self._progress(done)
                self._give_up()
                raise self._failure(error) from error
            self.acknowledged += 1
        self._progress(count)

    def _give_up(self) -> None:
        """Wait for nothing more; what is unacknowledged may have arrived or not."""
        for sent in self._in_flight:
            sent.cancel()
        self._in_flight.clear()

    def _failure(self, error: Exception) -> NotReadyError:
        return NotReadyError(
            f"Kafka did not acknowledge a record ({type(error).__name__}) after {self.acknowledged} that it did: "
            "see that it runs, then repeat the same call; what arrives twice counts once"
        )


async def publish_courses(producer: AIOKafkaProducer, courses: Iterable[Course], progress: Progress = _ignore) -> int:
    """Publish courses; return how many were acknowledged."""
    publisher = Publisher(producer, progress)
    for course in courses:
        await publisher.send(COURSES, course.course_id, encode_course(course))
    await publisher.flush()
    return publisher.acknowledged


async def publish_events(
    producer: AIOKafkaProducer, events: Iterable[AnyEvent], rate: float | None = None, progress: Progress = _ignore
) -> int:
    """Publish events in order, `rate` a second (None: as fast as Kafka takes them); return how many were acknowledged.

    Raises NotReadyError if one was not acknowledged; the call may then be repeated as a whole.
    """
    publisher = Publisher(producer, progress)
    clock = asyncio.get_running_loop().time
    start = clock()
    for number, event in enumerate(events):
        if rate is not None and (ahead := start + number / rate - clock()) > _PACE_S:
            await asyncio.sleep(ahead)
            await publisher.flush()
        await publisher.send_event(event)
    await publisher.flush()
    return publisher.acknowledged
