"""How far the state is behind the log, by what the state itself has applied; a stalled worker can't hide here."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError
from aiokafka.structs import OffsetAndMetadata
from redis.exceptions import RedisError

from adapters.follow import ControlLog
from adapters.kafka import open_reader
from adapters.redis import Client, connect, end_tasks
from schemas.errors import NotReadyError
from schemas.keys import ShardKeys
from schemas.meta import Meta
from schemas.settings import Connections
from schemas.topics import ACTIVITY, LEARNER_EVENTS, STREAM_GROUP
from stream.view import read_meta

ABSENT: Final = "absent"
"""State of a shard that has no meta: nothing of it is there."""

_COORDINATOR_S: Final = 10.0
_PEEK_S: Final = 2.0
_PEEK_BYTES: Final = 16_384


@dataclass(frozen=True)
class PartitionLag:
    """One partition. `committed` and `applied` are None where there is none; `lag_s` is the age of the oldest record
    that waits, by its append time, 0 if none does."""

    group: str
    topic: str
    partition: int
    committed: int | None
    applied: int | None
    end: int
    lag: int
    lag_s: float
    state: str


@dataclass(frozen=True)
class Lag:
    """All partitions at one moment."""

    partitions: list[PartitionLag]

    @property
    def lag(self) -> int:
        """Records that wait, over all partitions."""
        return sum(partition.lag for partition in self.partitions)

    @property
    def max_lag_s(self) -> float:
        """Age of the oldest record that waits."""
        return max((partition.lag_s for partition in self.partitions), default=0.0)

    def answer(self) -> dict[str, object]:
        """Return what programs are given."""
        partitions = [asdict(partition) for partition in self.partitions]
        return {"partitions": partitions, "lag": self.lag, "max_lag_s": self.max_lag_s}


def next_offset(topic: str, begin: int, committed: int | None, applied: int | None) -> int:
    """Return the offset of the first record that is still to be taken in.

    What counts for `learner-events` is what the state has applied, for `activity` what the group has committed.

    >>> next_offset("learner-events", 0, 50, 9), next_offset("activity", 3, None, None)
    (10, 3)
    """
    if topic == LEARNER_EVENTS:
        return begin if applied is None else max(applied + 1, begin)
    return begin if committed is None else max(committed, begin)


class LagReader:
    """Reads lag again and again over the same connections. Made by `open_lag_reader`."""

    def __init__(
        self, control: ControlLog, reader: AIOKafkaConsumer, admin: AIOKafkaAdminClient, client: Client
    ) -> None:
        self._control = control
        self._reader = reader
        self._admin = admin
        self._client = client

    async def read(self) -> Lag:
        """Return the lag of all partitions now.

        Raises NotReadyError if Kafka or Redis does not answer.
        """
        try:
            return await self._read()
        except (KafkaError, RedisError, OSError) as error:
            raise NotReadyError(f"the lag cannot be read: {type(error).__name__}: {error}") from error

    async def _read(self) -> Lag:
        shards = range(self._control.state.partitions)
        places = [TopicPartition(topic, shard) for topic in (LEARNER_EVENTS, ACTIVITY) for shard in shards]
        committed = await self._committed(places)  # before the ends, so that nothing looks further than it is
        metas = await self._metas(shards)
        begins = await self._reader.beginning_offsets(places)
        ends = await self._reader.end_offsets(places)
        starts = {
            place: next_offset(place.topic, begins[place], committed[place], _applied(metas, place)) for place in places
        }
        behind = {place: start for place, start in starts.items() if start < ends[place]}
        ages = await self._ages_s(behind)
        return Lag([
            PartitionLag(
                STREAM_GROUP,
                place.topic,
                place.partition,
                committed[place],
                _applied(metas, place),
                ends[place],
                max(ends[place] - starts[place], 0),
                ages.get(place, 0.0),
                _state(metas[place.partition]),
            )
            for place in places
        ])  # fmt: skip

    async def _committed(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int | None]:
        answer = await self._offsets_of_group(list(places))
        found = {place: known.offset for place, known in answer.items()}
        return {place: None if found.get(place, -1) < 0 else found[place] for place in places}

    async def _offsets_of_group(self, places: list[TopicPartition]) -> dict[TopicPartition, OffsetAndMetadata]:
        """Return what the group has committed; a new broker has no coordinator until the first such question."""
        deadline = time.monotonic() + _COORDINATOR_S
        while True:
            try:
                return dict(await self._admin.list_consumer_group_offsets(STREAM_GROUP, partitions=places))
            except GroupCoordinatorNotAvailableError:
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.1)

    async def _metas(self, shards: Iterable[int]) -> dict[int, Meta | None]:
        generation = self._control.state.generation
        keys = [ShardKeys(shard, generation) for shard in shards]
        metas = await asyncio.gather(*(read_meta(self._client, one) for one in keys))
        return {one.shard: meta for one, meta in zip(keys, metas, strict=True)}

    async def _ages_s(self, starts: dict[TopicPartition, int]) -> dict[TopicPartition, float]:
        """Return the age of the record at each of these offsets; what cannot be read in time is left out."""
        ages: dict[TopicPartition, float] = {}
        deadline = time.monotonic() + _PEEK_S
        while (missing := starts.keys() - ages.keys()) and time.monotonic() < deadline:
            self._reader.assign(list(missing))
            for place in missing:
                self._reader.seek(place, starts[place])
            for place, records in (await self._reader.getmany(timeout_ms=200)).items():
                ages[place] = max(time.time() - records[0].timestamp / 1_000, 0.0)
        return ages


def _applied(metas: dict[int, Meta | None], place: TopicPartition) -> int | None:
    meta = metas[place.partition]
    return meta.applied if meta and place.topic == LEARNER_EVENTS else None


def _state(meta: Meta | None) -> str:
    return str(meta.status) if meta else ABSENT


@asynccontextmanager
async def open_lag_reader(connections: Connections) -> AsyncIterator[LagReader]:
    """Open what lag is read with; it follows `control`, so a swapped generation is seen."""
    servers = connections.kafka_bootstrap_servers
    client = connect(connections)
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    try:
        async with (
            ControlLog(servers) as control,
            open_reader(servers, max_partition_fetch_bytes=_PEEK_BYTES) as reader,
        ):
            await admin.start()
            following = asyncio.create_task(control.run(), name="follow-control")
            try:
                yield LagReader(control, reader, admin, client)
            finally:
                await end_tasks([following])
    finally:
        await admin.close()
        await client.aclose()


async def read_lag(connections: Connections) -> Lag:
    """Return the lag of all partitions now."""
    async with open_lag_reader(connections) as reader:
        return await reader.read()
