"""One shard in its owner's hands over a real log and server, without Faust."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition

from adapters.follow import ControlLog
from adapters.kafka import open_producer, open_reader, read_range, shard_of
from adapters.redis import Client, connect
from deploy.embedded import EmbeddedStack
from schemas.events import Enrolled
from schemas.keys import ShardKeys
from schemas.settings import Connections
from schemas.topics import LEARNER_EVENTS
from stream.merge import MergeAnswer, Run
from stream.shards import Phase, Shard, ShardOwner
from stream.view import read_meta
from tests.integration.workers import publish
from tests.shard_state import read_learners
from tests.waiting import until

SHARD: Final = 1


class RecordingFlow:
    """Notes how the intake of a partition is stopped and set going; a test may hold it up."""

    def __init__(self) -> None:
        self.pauses = 0
        self.resumed_at: list[int] = []
        self.let_go = asyncio.Event()
        self.let_go.set()

    def rejoin(self) -> None:
        """Nobody is in a group here."""

    async def pause(self, partition: int) -> None:
        """Stop; as the Redis client at times does, overhear a cancellation."""
        assert partition == SHARD
        self.pauses += 1
        while not self.let_go.is_set():
            try:
                await self.let_go.wait()
            except asyncio.CancelledError:
                continue

    async def resume(self, partition: int, offset: int) -> None:
        """Go on."""
        assert partition == SHARD
        self.resumed_at.append(offset)


class House:
    """One shard in an owner's hands, and the log behind it."""

    def __init__(self, stack: EmbeddedStack, client: Client, control: ControlLog, producer: AIOKafkaProducer) -> None:
        self.bootstrap = stack.bootstrap_servers
        self.client, self.control, self.producer = client, control, producer
        self.flow, self.runs = RecordingFlow(), list[Run]()
        self.owner = self.make_owner(producer)
        self.keys = ShardKeys(SHARD, control.state.generation)

    def make_owner(self, dead_letters: AIOKafkaProducer) -> ShardOwner:
        """Return an owner that writes dead letters by this producer."""
        return ShardOwner(self.client, self.control, dead_letters, self.bootstrap, self.flow, self._merged)

    def _merged(self, _: Shard, run: Run, __: MergeAnswer) -> None:
        self.runs.append(run)

    @property
    def shard(self) -> Shard:
        """The shard."""
        return self.owner.shards[SHARD]

    async def opened(self, fills: int) -> None:
        """Wait until the shard was filled so many times in all, and is open."""

        async def holds() -> bool:
            self.owner.raise_failures()
            return len(self.flow.resumed_at) == fills and self.shard.phase == Phase.OPEN

        await until(holds, f"{fills} fills", 15)

    async def append(self, *users: str) -> list[ConsumerRecord]:
        """Append an enrolment of each of these learners, all of this shard; return the records, delivered to nobody."""
        assert {shard_of(user, 4) for user in users} == {SHARD}
        await publish(self.producer, [enrolled(user) for user in users])
        partition = TopicPartition(LEARNER_EVENTS, SHARD)
        async with open_reader(self.bootstrap) as reader:
            end = (await reader.end_offsets([partition]))[partition]
            found: list[ConsumerRecord] = []
            async for records, _ in read_range(reader, partition, end - len(users), end):
                found += records
        return found

    async def learners(self) -> set[str]:
        """Return who has a state."""
        return set(await read_learners(self.client, self.keys))

    async def applied(self) -> int:
        """Return the last offset the state has seen."""
        meta = await read_meta(self.client, self.keys)
        assert meta is not None
        return meta.applied


def enrolled(user_id: str) -> Enrolled:
    """Return an enrolment."""
    return Enrolled(event_id=user_id, user_id=user_id, course_id="c", occurred_at=1)


def users_of(name: str, number: int) -> list[str]:
    """Return so many new learners of the shard."""
    users = (f"{name}-{i}" for i in range(10_000))
    return [user for user in users if shard_of(user, 4) == SHARD][:number]


@asynccontextmanager
async def open_house(stack: EmbeddedStack, **producing: Any) -> AsyncIterator[House]:
    """Own the shard on an emptied server, and wait until it is open; `producing` are settings of the producer."""
    async with AsyncExitStack() as exits:
        control = await exits.enter_async_context(ControlLog(stack.bootstrap_servers))
        producer = await exits.enter_async_context(open_producer(stack.bootstrap_servers, **producing))
        client = connect(Connections(redis_url=stack.redis_url))
        exits.push_async_callback(client.aclose)
        await client.flushall()
        house = House(stack, client, control, producer)
        exits.callback(house.owner.release)
        house.owner.assign([SHARD])
        await house.opened(1)
        yield house
