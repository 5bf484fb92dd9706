"""What stands in the log and in Redis at the end of a run."""

from dataclasses import dataclass, field
from typing import Any, cast

from aiokafka import TopicPartition

from adapters.follow import ControlLog
from adapters.kafka import end_offsets, open_reader, read_range
from adapters.redis import Client
from schemas.candidates import Version, unpack_candidates, unpack_version
from schemas.control import ControlState
from schemas.errors import InvalidEventError
from schemas.events import LearnerEvent, decode_event
from schemas.keys import SHARED_META, ShardKeys
from schemas.meta import HEADER_FIELD, Meta, Status, unpack_header
from schemas.settings import Connections
from schemas.topics import LEARNER_EVENTS
from stream.view import read_meta
from tests.reference import Logged, ReferenceLearner
from tests.shard_state import read_counts, read_learners


@dataclass
class Standing:
    """Log and state of one generation. `listed`: learner -> course ids of the list; `stale`: learners whose list is not
    of their state and of the live model."""

    log: list[Logged] = field(default_factory=list)
    unreadable: int = 0
    begins: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    metas: list[Meta | None] = field(default_factory=list)
    states: dict[str, ReferenceLearner] = field(default_factory=dict)
    counts: dict[tuple[str, int], int] = field(default_factory=dict)
    listed: dict[str, list[str]] = field(default_factory=dict)
    stale: list[str] = field(default_factory=list)
    marks: int = 0


async def read_control(connections: Connections) -> ControlState:
    """Return what is decided now."""
    async with ControlLog(connections.kafka_bootstrap_servers) as control:
        return control.state


async def is_quiet(client: Client, connections: Connections, model_epoch: int) -> bool:
    """Whether every shard is live, has applied all of the log, is swept for the live model, and marks nobody."""
    async with open_reader(connections.kafka_bootstrap_servers) as reader:
        ends = await end_offsets(reader, LEARNER_EVENTS)
    meta: Any = await client.hgetall(SHARED_META)
    catalogue = meta.get(b"catalogue_epoch", b"-1").decode()
    for partition, end in ends.items():
        keys = ShardKeys(partition.partition, 0)
        found = await read_meta(client, keys)
        if found is None or (found.status, found.applied) != (Status.LIVE, end - 1):
            return False
        if found.sweep != f"{model_epoch} {catalogue} -inf" or await client.zcard(keys.dirty):
            return False
    return True


async def read_standing(client: Client, connections: Connections) -> Standing:
    """Read everything."""
    standing = Standing()
    await _read_log(connections, standing)
    await read_state(client, len(standing.ends), (await read_control(connections)).model_epoch, standing)
    return standing


async def read_state(client: Client, shards: int, model_epoch: int, standing: Standing) -> None:
    """Read what stands in Redis; lists are to be of this model."""
    for keys in (ShardKeys(shard, 0) for shard in range(shards)):
        standing.metas.append(await read_meta(client, keys))
        standing.states.update(await read_learners(client, keys))
        for pair, count in (await read_counts(client, keys)).items():
            standing.counts[pair] = standing.counts.get(pair, 0) + count
        standing.marks += await client.zcard(keys.dirty)
        await _read_lists(client, keys, model_epoch, standing)


async def _read_log(connections: Connections, standing: Standing) -> None:
    async with open_reader(connections.kafka_bootstrap_servers) as reader:
        ends = await end_offsets(reader, LEARNER_EVENTS)
        begins: dict[TopicPartition, int] = await reader.beginning_offsets(list(ends))
        standing.begins, standing.ends = [begins[partition] for partition in ends], list(ends.values())
        for partition, end in ends.items():
            async for records, _ in read_range(reader, partition, begins[partition], end, 5_000):
                for record in records:
                    try:
                        event = cast(LearnerEvent, decode_event(record.value or b""))  # the topic holds no others
                    except InvalidEventError:
                        standing.unreadable += 1
                        continue
                    standing.log.append(Logged(event, record.timestamp))


async def _read_lists(client: Client, keys: ShardKeys, epoch: int, standing: Standing) -> None:
    users = [user.decode() for user in cast(list[bytes], await client.zrange(keys.learners, 0, -1))]
    pipeline = client.pipeline(transaction=False)
    for user_id in users:
        pipeline.hget(keys.history(user_id), HEADER_FIELD)
        pipeline.get(keys.candidates(user_id))
    answers: list[Any] = await pipeline.execute()
    for user_id, packed_header, packed_list in zip(users, answers[::2], answers[1::2], strict=True):
        if not packed_list:
            continue
        header, version = unpack_header(packed_header), unpack_version(packed_list)
        standing.listed[user_id] = [one.course_id for one in unpack_candidates(packed_list).candidates]
        wanted = Version(epoch, version.catalogue_epoch, header.learner_offset, header.activity_offset)
        if version != wanted:
            standing.stale.append(user_id)
