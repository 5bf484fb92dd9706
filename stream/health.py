"""Looking after shards that nothing comes in for, and the signs of life for the watchdog."""

import asyncio
import logging
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from adapters.redis import Client
from schemas.topics import LEARNER_EVENTS
from stream import metrics
from stream.shards import ShardOwner
from stream.watchdog import Pulse

logger: Final = logging.getLogger(__name__)

PATIENCE_S: Final = 5.0
"""A shard that stands elsewhere than the log ends and does not advance for so long is filled: a hole, a partition that
is not delivered, a log that was replaced by a shorter one."""

_PROBE_S: Final = 5.0


class Health:
    """Checks the shards of one worker every few seconds."""

    def __init__(self, client: Client, reader: AIOKafkaConsumer, owner: ShardOwner, pulse: Pulse) -> None:
        self._client = client
        self._reader = reader
        self._owner = owner
        self._pulse = pulse
        self._ends: dict[int, int] = {}
        self._applied = -1

    async def run(self, interval_s: float) -> None:
        """Check for ever."""
        while True:
            await self._check()
            await asyncio.sleep(interval_s)

    async def _check(self) -> None:
        healthy = await self._probe()
        self._owner.raise_failures()
        shards = list(self._owner.shards.values())
        applied = sum(shard.applied for shard in shards)
        advanced, self._applied = applied != self._applied, applied
        has_lag = any(self._ends.get(shard.partition, 0) > shard.applied + 1 for shard in shards)
        self._pulse.beat(has_lag=has_lag, advanced=advanced, healthy=healthy, assigned=bool(shards))
        opened = len(self._owner.open_shards())
        metrics.SHARDS.labels("open").set(opened)
        metrics.SHARDS.labels("filling").set(len(shards) - opened)

    async def _probe(self) -> bool:
        """Compare the shards with where the log ends; return whether Kafka and Redis answer."""
        try:
            async with asyncio.timeout(_PROBE_S):
                await self._client.ping()
                partitions = [TopicPartition(LEARNER_EVENTS, number) for number in self._owner.shards]
                ends = await self._reader.end_offsets(partitions) if partitions else {}
                self._ends = {partition.partition: end for partition, end in ends.items()}
                await self._owner.check(self._ends, PATIENCE_S)
                await self._owner.reach()
        except Exception as error:  # whatever it is: that a dependency does not answer is the finding
            logger.warning("a dependency does not answer: %r", error)
            return False
        return True
