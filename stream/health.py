"""Looking after shards that nothing comes in for, and the signs of life for the watchdog."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from adapters.follow import Follower
from adapters.redis import Client
from adapters.topic_ids import read_topic_id
from schemas.topics import ACTIVITY, LEARNER_EVENTS
from stream import metrics
from stream.delivery import Delivery
from stream.group import Group
from stream.refresh import Refresher
from stream.serving import ServingRoom
from stream.shards import Phase, ShardOwner
from stream.watchdog import Pulse, Sign

logger: Final = logging.getLogger(__name__)

PATIENCE_S: Final = 5.0
"""A shard that stands elsewhere than the log ends and does not advance for so long is filled: a hole, a partition that
is not delivered, a log that was replaced by a shorter one."""

_PROBE_S: Final = 5.0
_HEART_S: Final = 0.5
_REJOIN_S: Final = 5.0


class Parts(NamedTuple):
    """What is looked at. `deliveries` is by topic."""

    owner: ShardOwner
    refresher: Refresher
    room: ServingRoom
    followers: Sequence[Follower]
    group: Group
    deliveries: dict[str, Delivery]
    partitions: int
    rejoin: Callable[[], None]


class Health:
    """Checks the shards of one worker, and the worker itself, every few seconds."""

    def __init__(self, client: Client, reader: AIOKafkaConsumer, parts: Parts, pulse: Pulse) -> None:
        self._client = client
        self._reader = reader
        self._parts = parts
        self._pulse = pulse
        self._ends: dict[TopicPartition, int] = {}
        self._has_shards = False
        self._has_joined = False
        self._filled: dict[int, int] = {}
        self._rounds = -1
        self._rejoined_at = 0.0
        self._read: list[int] = []

    async def run(self, interval_s: float) -> None:
        """Check for ever."""
        while True:
            await self._check()
            await asyncio.sleep(interval_s)

    async def beat(self) -> None:
        """Show for ever that the loop turns."""
        while True:
            self._pulse.see(Sign.LOOP)
            await asyncio.sleep(_HEART_S)

    async def _check(self) -> None:
        owner = self._parts.owner
        is_healthy = await self._probe()
        owner.raise_failures()
        signs = self._signs()
        for sign in Sign if not is_healthy else signs:
            if sign is not Sign.LOOP:
                self._pulse.see(sign)
        opened = len(owner.open_shards())
        metrics.SHARDS.labels("open").set(opened)
        metrics.SHARDS.labels("filling").set(len(owner.shards) - opened)

    async def _probe(self) -> bool:
        """Compare the shards with where the log ends; return whether Kafka and Redis answer."""
        owner = self._parts.owner
        try:
            async with asyncio.timeout(_PROBE_S):
                await self._client.ping()
                self._ends = await self._reader.end_offsets(self._places())
                owned = set(owner.shards)
                membership = await self._parts.group.look(owned, self._parts.partitions)
                self._has_shards = bool(owned) and membership.holds
                self._has_joined |= self._has_shards
                if membership.has_orphans:
                    self._find_owners()
                await self._look_at_log()
                await owner.reach()
        except Exception as error:  # whatever it is: that a dependency does not answer is the finding
            logger.warning("a dependency does not answer: %r", error)
            return False
        return True

    def _find_owners(self) -> None:
        """Join again, at most every `_REJOIN_S`."""
        now = asyncio.get_running_loop().time()
        if now - self._rejoined_at > _REJOIN_S:
            self._rejoined_at = now
            logger.warning("a shard has no owner: joining the group again")
            self._parts.rejoin()

    def _places(self) -> list[TopicPartition]:
        followed = [TopicPartition(follower.topic, 0) for follower in self._parts.followers]
        shards = self._parts.owner.shards
        return followed + [TopicPartition(topic, shard) for topic in (LEARNER_EVENTS, ACTIVITY) for shard in shards]

    def _ends_of(self, topic: str) -> dict[int, int]:
        return {place.partition: end for place, end in self._ends.items() if place.topic == topic}

    async def _look_at_log(self) -> None:
        """Have the owner compare its shards with the log; one that lost only what was merged is no reason to fill."""
        owner = self._parts.owner
        places = [TopicPartition(LEARNER_EVENTS, shard) for shard in owner.shards]
        begins = await self._reader.beginning_offsets(places) if places else {}
        await owner.check(self._ends_of(LEARNER_EVENTS), PATIENCE_S, await read_topic_id(self._reader, LEARNER_EVENTS))
        for shard in owner.open_shards():
            begin = begins.get(TopicPartition(LEARNER_EVENTS, shard.partition), 0)
            if begin > shard.begin:
                shard.begin = begin
                metrics.LOG_LOSSES.inc()
                logger.error(
                    "ALARM: %s:%d lost its records before %d: they are in the state, but in no rebuild of it",
                    *(LEARNER_EVENTS, shard.partition, begin),
                )

    def _signs(self) -> set[Sign]:
        """Return what is well."""
        parts, now = self._parts, asyncio.get_running_loop().time()
        fed = {shard.partition for shard in parts.owner.fed_shards()}
        learners = {shard: end for shard, end in self._ends_of(LEARNER_EVENTS).items() if shard in fed}
        parts.deliveries[LEARNER_EVENTS].look(learners, now)
        parts.deliveries[ACTIVITY].look(self._ends_of(ACTIVITY), now)
        is_opening = any(shard.is_opening for shard in parts.owner.shards.values())
        found = {
            Sign.CHECK: True,
            Sign.MERGE: self._fillers_advance(),
            Sign.DELIVERY: not any(delivery.is_broken for delivery in parts.deliveries.values()),
            Sign.REFRESH: self._refresher_turns(),
            Sign.FOLLOW: self._followers_read(),
            Sign.SLOW: not (parts.room.is_loading or is_opening),
            Sign.GROUP: self._has_shards or not self._has_joined,
            Sign.JOIN: self._has_joined,
        }
        return {sign for sign, is_well in found.items() if is_well}

    def _fillers_advance(self) -> bool:
        """Shards that the agent feeds need no look here: one that stands still is filled after `PATIENCE_S`."""
        shards = self._parts.owner.shards.values()
        filling = {shard.partition: shard.applied for shard in shards if shard.phase != Phase.OPEN}
        before, self._filled = self._filled, filling
        return filling != before or not filling or any(shard.is_opening for shard in shards)

    def _refresher_turns(self) -> bool:
        before, self._rounds = self._rounds, self._parts.refresher.rounds
        return before != self._rounds

    def _followers_read(self) -> bool:
        before, self._read = self._read, [follower.position for follower in self._parts.followers]
        return self._read != before or all(
            follower.position == self._ends.get(TopicPartition(follower.topic, 0)) for follower in self._parts.followers
        )
