"""The digest of all learners' state: of a generation as it stands, or of the log up to a moment."""

import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, cast

from aiokafka import AIOKafkaConsumer, TopicPartition

from adapters.follow import ControlLog
from adapters.kafka import end_offsets, open_reader, read_range
from adapters.redis import Client, connect
from recommender.fold import Fold, StateDigest
from schemas.control import ControlState
from schemas.errors import NotReadyError
from schemas.events import LearnerEvent
from schemas.keys import ShardKeys
from schemas.meta import HEADER_FIELD, Status, unpack_header
from schemas.settings import Connections
from schemas.topics import LEARNER_EVENTS
from stream.dead_letters import sort_out
from stream.view import by_name, read_meta

logger: Final = logging.getLogger(__name__)

_BATCH: Final = 500
_TRIES: Final = 200


@dataclass(frozen=True)
class DigestResult:
    """A digest, what it covers, and the last offset applied of each shard (-1: none) when it was taken.

    `missing`: records that are gone from the start of the log it was made from; of a generation nothing is said.
    """

    digest: str
    learners: int
    records: int
    applied: list[int]
    missing: int = 0


async def _read_learners(client: Client, keys: ShardKeys, users: Sequence[str]) -> dict[str, StateDigest]:
    """Return the digest of each of these learners."""
    pipeline, found = client.pipeline(transaction=False), {}
    for user_id in users:
        for key in (keys.history(user_id), keys.feedback(user_id), keys.profile(user_id)):
            pipeline.hgetall(key)
    answers: list[Any] = await pipeline.execute()
    for i, user_id in enumerate(users):
        history, feedback, profile = (by_name(fields) for fields in answers[3 * i : 3 * i + 3])
        header = unpack_header(history.pop(HEADER_FIELD, None))
        kinds = {int(kind): cell for kind, cell in profile.items()}
        found[user_id] = StateDigest()
        found[user_id].add(user_id, history, feedback, kinds, header.erased_through_us)
    return found


async def _read_since(client: Client, keys: ShardKeys, applied: int | None) -> dict[str, StateDigest]:
    """Return the digests of the learners whose last record lies beyond an offset; None: of all."""
    least = "-inf" if applied is None else f"({applied}"
    found: list[Any] = await client.zrange(keys.learners, least, "+inf", byscore=True)
    users, digests = [user.decode() for user in found], dict[str, StateDigest]()
    for i in range(0, len(users), _BATCH):
        digests |= await _read_learners(client, keys, users[i : i + _BATCH])
    return digests


async def _shard_digest(client: Client, keys: ShardKeys, only_live: bool) -> tuple[StateDigest, int]:
    """Return a shard's digest and the offset it was taken at.

    Whom records that came in meanwhile concern is read again: ever fewer, until none came in while they were read.
    """
    learners: dict[str, StateDigest] = {}
    nonce, read_to = "", None
    for _ in range(_TRIES):
        before = await read_meta(client, keys)
        if before is None:
            raise NotReadyError(f"shard {keys.shard} of generation {keys.generation} has no state")
        if only_live and before.status != Status.LIVE:  # a filler writes some learners ahead of what is applied
            raise NotReadyError(f"shard {keys.shard} is being rebuilt: repeat it once all shards are live")
        if before.nonce != nonce:
            learners, nonce, read_to = {}, before.nonce, None
        learners |= await _read_since(client, keys, read_to)
        after = await read_meta(client, keys)
        if after and (after.nonce, after.applied) == (nonce, before.applied):
            whole = StateDigest()
            for learner in learners.values():
                whole.merge(learner)
            return whole, before.applied
        read_to = before.applied
    raise NotReadyError(f"shard {keys.shard} never stood still: wait until the stream is quiet, or use --as-of")


async def generation_digest(client: Client, generation: int, partitions: int, only_live: bool = False) -> DigestResult:
    """Return the digest of one generation; with `only_live`, NotReadyError while a shard of it is not live."""
    total, applied = StateDigest(), []
    for shard in range(partitions):
        digest, offset = await _shard_digest(client, ShardKeys(shard, generation), only_live)
        total.merge(digest)
        applied.append(offset)
    return DigestResult(total.hexdigest(), total.learners, total.records, applied)


async def live_digest(connections: Connections, generation: int | None = None) -> DigestResult:
    """Return the digest of a generation, the live one unless said otherwise."""
    async with AsyncExitStack() as stack:
        control = await stack.enter_async_context(ControlLog(connections.kafka_bootstrap_servers))
        client = connect(connections)
        stack.push_async_callback(client.aclose)
        chosen = control.state.generation if generation is None else generation
        return await generation_digest(client, chosen, control.state.partitions)


@dataclass(frozen=True)
class Range:
    """What is read of `learner-events`: from where the log begins to the ends, by partition."""

    begins: dict[TopicPartition, int]
    ends: dict[TopicPartition, int]

    @property
    def missing(self) -> int:
        """Records that are gone from the start of the log: it is kept for ever, so they were lost."""
        return sum(self.begins.values())

    @property
    def applied(self) -> list[int]:
        """The last offset of each partition that is read, -1 for none."""
        return [end - 1 for end in self.ends.values()]

    def up_to(self, applied: Sequence[int]) -> "Range":
        """Return the range that ends with these offsets, one a partition."""
        ends = {partition: max(applied[partition.partition] + 1, begin) for partition, begin in self.begins.items()}
        return Range(self.begins, dict(sorted(ends.items())))


async def range_as_of(reader: AIOKafkaConsumer, until_ms: int | None) -> Range:
    """Return the range up to now, or to before the first record appended after a moment."""
    ends = await end_offsets(reader, LEARNER_EVENTS)
    begins = await reader.beginning_offsets(list(ends))
    if until_ms is not None:
        found = await reader.offsets_for_times(dict.fromkeys(ends, until_ms + 1))
        ends = {partition: place.offset if (place := found.get(partition)) else ends[partition] for partition in ends}
    return Range(begins, ends)


async def fold_range(reader: AIOKafkaConsumer, read: Range, control: ControlState) -> Fold:
    """Return all learners of a range, folded in memory."""
    fold = Fold()
    for partition, end in read.ends.items():
        async for records, _ in read_range(reader, partition, read.begins[partition], end, 5_000):
            for record, event in sort_out(records, control)[0]:
                fold.apply(cast(LearnerEvent, event), record.timestamp)  # the topic holds no others
    return fold


async def digest_as_of(connections: Connections, until_ms: int) -> DigestResult:
    """Return the digest of what the log says up to an append time, folded in memory; needs no Redis and no worker.

    The past is taken as it stood: who was erased later is part of it, and so is a digest that was taken then.
    """
    bootstrap = connections.kafka_bootstrap_servers
    async with ControlLog(bootstrap) as control, open_reader(bootstrap) as reader:
        read = await range_as_of(reader, until_ms)
        digest = (await fold_range(reader, read, control.state)).digest()
        if read.missing:
            logger.error("ALARM: the log has lost %d records at its start: the digest lacks them", read.missing)
        return DigestResult(digest.hexdigest(), digest.learners, digest.records, read.applied, read.missing)
