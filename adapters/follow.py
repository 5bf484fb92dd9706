"""Following a one-partition topic from its first record: every process reads `control` and `courses` this way."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final, Self

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from adapters.kafka import open_producer, open_reader
from schemas.control import ControlRecord, ControlState, encode_control
from schemas.courses import Course, decode_course
from schemas.errors import ConfigurationError, InvalidEventError
from schemas.topics import CONTROL, COURSES

logger: Final = logging.getLogger(__name__)


class Follower(ABC):
    """Reads one topic to its captured end on entering, then as it grows for as long as `run` runs."""

    topic: str

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._stack = AsyncExitStack()
        self._consumer: AIOKafkaConsumer
        self.position = 0
        """Offset of the next record to be read."""
        self._listeners: list[Callable[[], None]] = []

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each batch of records that was taken in."""
        self._listeners.append(listener)

    async def __aenter__(self) -> Self:
        """Read to the end that the topic has now."""
        self._consumer = await self._stack.enter_async_context(open_reader(self._bootstrap_servers))
        partition = TopicPartition(self.topic, 0)
        self._consumer.assign([partition])
        ends = await self._consumer.end_offsets([partition])
        starts = await self._consumer.beginning_offsets([partition])
        self._consumer.seek(partition, starts[partition])
        self.position = starts[partition]
        while self.position < ends[partition]:
            await self._poll(500)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def run(self) -> None:
        """Follow the topic for ever; an unavailable broker is waited for by the client itself."""
        while True:
            try:
                await self._poll(1_000)
            except KafkaError as error:
                logger.warning("reading %s: %r; trying again", self.topic, error)

    async def _poll(self, timeout_ms: int) -> None:
        batches = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=5_000)
        records = [record for batch in batches.values() for record in batch]
        for record in records:
            self.take(record)
        self.position = await self._consumer.position(TopicPartition(self.topic, 0))
        if records:
            for listener in self._listeners:
                listener()

    @abstractmethod
    def take(self, record: ConsumerRecord) -> None:
        """Fold one record into what this follower holds."""


class ControlLog(Follower):
    """The topic `control` and the state its records add up to."""

    topic = CONTROL

    def __init__(self, bootstrap_servers: str) -> None:
        super().__init__(bootstrap_servers)
        self.state = ControlState()

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        if self.state.partitions == 0:
            raise ConfigurationError(f"topic {CONTROL} has no first record: create the topics before starting")
        return self

    def take(self, record: ConsumerRecord) -> None:
        """Fold one decision."""
        self.state = self.state.apply(record.value or b"", record.offset, record.timestamp)


class Catalogue(Follower):
    """The topic `courses`: the last record of each course. `epoch` is the offset of the newest record."""

    topic = COURSES

    def __init__(self, bootstrap_servers: str) -> None:
        super().__init__(bootstrap_servers)
        self.courses: dict[str, Course] = {}
        self.epoch = -1

    def take(self, record: ConsumerRecord) -> None:
        """Fold one course; a record that is no course is left out, and said."""
        self.epoch = record.offset
        if record.value is None:
            self.courses.pop((record.key or b"").decode(errors="replace"), None)
            return
        try:
            course = decode_course(record.value)
        except InvalidEventError as error:
            logger.warning("courses:%d is no course: %s", record.offset, error)
            return
        self.courses[course.course_id] = course


async def append_control(bootstrap_servers: str, *records: ControlRecord) -> int:
    """Append decisions to `control`, one after the other; return the offset of the last."""
    offset = -1
    async with open_producer(bootstrap_servers, linger_ms=0) as producer:
        for record in records:
            sent = await producer.send_and_wait(CONTROL, encode_control(record), partition=0)
            offset = sent.offset
    return offset
