"""How far the log reaches: polled, so that every answer can say how many events its state lacks."""

import asyncio
import contextlib
import logging
import time
from contextlib import AsyncExitStack
from typing import Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from adapters.follow import ControlLog
from adapters.kafka import open_reader, partitions_of
from schemas.topics import ACTIVITY, LEARNER_EVENTS

logger: Final = logging.getLogger(__name__)

STALE_S: Final = 5.0
_TIMEOUT_S: Final = 5.0


class LogEnds:
    """The end offsets of `learner-events`, as last seen."""

    def __init__(self, bootstrap_servers: str, control: ControlLog, interval_s: float) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._control = control
        self._interval_s = interval_s
        self._stack = AsyncExitStack()
        self._consumer: AIOKafkaConsumer
        self._partitions: list[TopicPartition] = []
        self._ends: dict[int, int] = {}
        self._asked_at = float("-inf")
        self._seen_at = float("-inf")
        self._hurried = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Check that the topics have the number of partitions the system was founded with, and read the ends."""
        self._consumer = await self._stack.enter_async_context(open_reader(self._bootstrap_servers))
        for topic in (ACTIVITY, LEARNER_EVENTS):
            self._partitions = await partitions_of(self._consumer, topic)
            self._control.state.check_partitions(topic, len(self._partitions))
        await self._read()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def is_fresh(self) -> bool:
        """Whether Kafka has answered within the last `STALE_S`."""
        return time.monotonic() - self._seen_at < STALE_S

    def lag(self, shard: int, applied: int) -> int | None:
        """Return how many events of a shard are not merged, or None if that is not known."""
        end = self._ends.get(shard)
        return max(end - applied - 1, 0) if self.is_fresh and end is not None else None

    def end_since(self, shard: int, moment: float) -> int | None:
        """Return where a shard's log ended at some time after a moment of the monotonic clock; None: not known yet."""
        return self._ends.get(shard) if self._asked_at > moment else None

    def hurry(self) -> None:
        """Read the ends now, not when it is time."""
        self._hurried.set()

    async def run(self) -> None:
        """Read the ends again and again, for ever."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurried.wait(), self._interval_s)
            self._hurried.clear()
            try:
                await self._read()
            except (KafkaError, TimeoutError) as error:
                logger.warning("the ends of the log cannot be read: %r", error)

    async def _read(self) -> None:
        asked_at = time.monotonic()
        async with asyncio.timeout(_TIMEOUT_S):
            ends = await self._consumer.end_offsets(self._partitions)
        self._ends = {place.partition: end for place, end in ends.items()}
        self._asked_at, self._seen_at = asked_at, time.monotonic()
