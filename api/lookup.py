"""Looking a learner up: list, history, feedback, pending writes and `applied`, read in one atomic command."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar
from uuid import UUID

from redis.asyncio import RedisCluster
from redis.exceptions import NoScriptError, RedisError

from adapters.follow import ControlLog
from adapters.kafka import shard_of
from adapters.redis import Client, Script
from api.dashboard import status_of
from api.shard_watch import ShardWatch
from recommender.history import record_stamp
from schemas.candidates import Version, unpack_version
from schemas.embedding import Embedding, unpack_embedding
from schemas.keys import ShardKeys
from schemas.meta import Header, Status, unpack_header
from schemas.pending import Pending, unpack_pending
from schemas.registers import FEEDBACK_CODES, STAMP_BYTES, Rank, split_record
from schemas.topics import ACTIVITY, LEARNER_EVENTS, Position

logger: Final = logging.getLogger(__name__)

C = TypeVar("C", str, bytes)

_LOOKUP: Final = Path(__file__).with_name("lookup.lua")
_FIRST_POLL_S: Final = 0.005
_LAST_POLL_S: Final = 0.020
_MOST_WINDOWS: Final = 8
_NOT_FOR_ME: Final = FEEDBACK_CODES["not_for_me"]


class ReadScript(Script):
    """A Lua script that the server runs read-only."""

    async def run(self, client: Client, keys: Sequence[str], args: Sequence[bytes | str | int]) -> Any:
        """Run the script; on a cluster as any script, since its client asks a server for the keys of other commands."""
        if isinstance(client, RedisCluster):
            return await super().run(client, keys, args)
        try:
            return await client.evalsha_ro(self._sha, len(keys), *keys, *args)
        except NoScriptError:
            self._not_known()
            return await client.eval_ro(self._source, len(keys), *keys, *args)


class OwnScript(ReadScript):
    """A script that no other process knows: a server that does not know it has forgotten what it kept in memory alone.

    A server that was started anew, or took another's place, says so by the very command that reads from it.
    """

    def __init__(self, path: Path, forgotten: Callable[[], None]) -> None:
        super().__init__(path, is_own=True)
        self._forgotten = forgotten

    async def load(self, client: Client) -> None:
        """Make the script known; what was kept in memory until then is not known to be there."""
        self._forgotten()
        await client.script_load(self._source)

    def _not_known(self) -> None:
        self._forgotten()


def state_version_of(shard: int, version: Version | Header) -> str:
    """Return the positions of the last events that a list, or a history, includes.

    >>> state_version_of(3, Header(17, -1))
    'learner-events:3:17'
    """
    offsets = {LEARNER_EVENTS: version.learner_offset, ACTIVITY: version.activity_offset}
    return ",".join([f"{topic}:{shard}:{offset}" for topic, offset in offsets.items() if offset >= 0])


def refused_of(feedback: Mapping[C, bytes]) -> frozenset[C]:
    """Return the courses of which a learner said that they are not for him."""
    return frozenset(course for course, register in feedback.items() if register[STAMP_BYTES] == _NOT_FOR_ME)


@dataclass(frozen=True)
class Lookup:
    """What stood in Redis about a learner at one moment. `history`: course -> record."""

    shard: int
    status: Status | None = None
    applied: int = -1
    packed_list: bytes | None = None
    header: Header = field(default_factory=Header)
    history: Mapping[str, bytes] = field(default_factory=dict)
    feedback: Mapping[str, bytes] = field(default_factory=dict)
    pending: Mapping[str, Pending] = field(default_factory=dict)
    dirty: bool = False
    proved: bool = True

    @property
    def is_live(self) -> bool:
        """Whether the shard's state is whole up to `applied`."""
        return self.status == Status.LIVE

    @property
    def is_whole(self) -> bool:
        """Whether the state, with the pending writes, holds all that was acknowledged."""
        return self.is_live and self.proved

    @property
    def unmerged(self) -> dict[str, Pending]:
        """Acknowledged writes that the history does not hold yet."""
        return {course_id: one for course_id, one in self.pending.items() if one.offset > self.applied}

    @property
    def excluded(self) -> frozenset[str]:
        """Courses that no list may show: taken, about to be taken, or refused."""
        return frozenset(self.history.keys() | self.unmerged.keys() | refused_of(self.feedback))

    @property
    def completed(self) -> frozenset[str]:
        """Courses that the dashboard shows as completed; what an unwhole state holds of them does not count."""
        history = self.history if self.is_whole else {}
        done = {course_id for course_id, packed in history.items() if status_of(split_record(packed)) == "completed"}
        ranks = {course_id: write.rank for course_id, write in self.unmerged.items()}
        done |= {course_id for course_id, rank in ranks.items() if rank == Rank.COMPLETED}
        return frozenset(done - {course_id for course_id, rank in ranks.items() if rank == Rank.DROPPED})

    def event_ids_of(self, course_id: str) -> list[str]:
        """Return the event that put a course into the history; none if it is not there, or was dropped."""
        packed, write = self.history.get(course_id), self.unmerged.get(course_id)
        registers = split_record(packed) if packed else {}
        if not registers or status_of(registers) == "dropped" or (write and write.rank == Rank.DROPPED):
            return []
        return [str(UUID(bytes=record_stamp(registers)[1]))]

    @property
    def list_version(self) -> Version | None:
        """What the learner's list was made from."""
        return unpack_version(self.packed_list) if self.packed_list else None

    @property
    def state_version(self) -> str:
        """Positions of the last events that the list includes (without a list: that the history holds)."""
        return state_version_of(self.shard, self.list_version or self.header)

    def covers(self, position: Position) -> bool:
        """Whether a reader sees what was published at a position: the list was made from it, or did not have to be."""
        if position.partition != self.shard:
            return True
        version = self.list_version
        is_activity = position.topic == ACTIVITY
        if version and (version.activity_offset if is_activity else version.learner_offset) >= position.offset:
            return True
        held = self.header.activity_offset if is_activity else self.applied
        return self.is_live and held >= position.offset and not self.dirty


def _pairs(flat: Sequence[bytes]) -> dict[str, bytes]:
    return {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}


def keys_of(shard: ShardKeys, user_id: str) -> list[str]:
    """Return the keys that `lookup.lua` reads, in its order."""
    return [
        shard.meta,
        shard.candidates(user_id),
        shard.history(user_id),
        shard.feedback(user_id),
        shard.pending(user_id),
        shard.dirty,
    ]


def decode_lookup(shard: int, answer: Sequence[Any]) -> Lookup:
    """Return the look-up that `lookup.lua` answered."""
    status, applied, packed_list, header, history, feedback, pending, marked = answer
    records = _pairs(history)
    records.pop("", None)
    return Lookup(
        shard,
        Status(status.decode()) if status else None,
        int(applied) if applied else -1,
        packed_list,
        unpack_header(header),
        records,
        _pairs(feedback),
        {course_id: unpack_pending(packed) for course_id, packed in _pairs(pending).items()},
        marked is not None,
    )


class Learners:
    """Reads learners of the live generation."""

    def __init__(self, client: Client, control: ControlLog, watch: ShardWatch, timeout_s: float) -> None:
        self._client = client
        self._control = control
        self._watch = watch
        self._timeout_s = timeout_s
        self._lookup = OwnScript(_LOOKUP, watch.trust.doubt_all)

    def _keys(self, user_id: str) -> ShardKeys:
        state = self._control.state
        return ShardKeys(shard_of(user_id, state.partitions), state.generation)

    @property
    def script_sha(self) -> str:
        """What servers know `lookup.lua` by."""
        return self._lookup.sha

    async def prepare(self) -> None:
        """Make the script known, so that the first look-up need not doubt; a server that is away hears of it later."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._lookup.load(self._client)
        except (RedisError, TimeoutError) as error:
            logger.warning("look-ups cannot be prepared: %r", error)

    async def look_up(self, user_id: str) -> Lookup:
        """Return what stands about a learner. Raises RedisError or TimeoutError."""
        shard, trust = self._keys(user_id), self._watch.trust
        doubted_at = trust.doubted_at(shard.shard)
        keys = keys_of(shard, user_id)
        async with self._watch.reaching(shard.shard):
            answer = await self._lookup.run(self._client, keys, [user_id])
        found = decode_lookup(shard.shard, answer)
        return replace(found, proved=trust.is_proved(found.shard, found.applied, doubted_at))

    async def look_up_after(self, user_id: str, positions: Sequence[Position], wait_s: float) -> Lookup:
        """Return the first look-up that covers the positions, or the last one before `wait_s` is over."""
        loop = asyncio.get_running_loop()
        end_s, pause_s = loop.time() + wait_s, _FIRST_POLL_S
        while True:
            found = await self.look_up(user_id)
            if loop.time() >= end_s or all(found.covers(position) for position in positions):
                return found
            await asyncio.sleep(min(pause_s, max(end_s - loop.time(), 0)))
            pause_s = min(pause_s * 1.5, _LAST_POLL_S)

    async def embedding(self, user_id: str) -> Embedding | None:
        """Return a learner's embedding, or None if there is none."""
        shard = self._keys(user_id)
        async with self._watch.reaching(shard.shard):
            packed: Any = await self._client.get(shard.embedding(user_id))
        return unpack_embedding(packed) if packed else None

    async def recent(self, limit: int) -> list[str]:
        """Return some learners of whom something is known, and was heard lately, the newest of every shard first."""
        size = max(4, 2 * limit // self._control.state.partitions)
        found: list[str] = []
        async with asyncio.timeout(self._timeout_s):
            for window in range(_MOST_WINDOWS):
                heard_of = await self._newest(window * size, size)
                found += await self._with_state(heard_of)
                if len(found) >= limit or not heard_of:
                    break
        return found[:limit]

    async def _newest(self, start: int, size: int) -> list[str]:
        """Return the learners who hold these places in their shards, the newest first."""
        state = self._control.state
        keys = [ShardKeys(shard, state.generation).learners for shard in range(state.partitions)]
        found: list[Any] = await asyncio.gather(
            *(self._client.zrange(key, start, start + size - 1, desc=True) for key in keys)
        )
        ranked = [(place, user) for users in found for place, user in enumerate(users)]
        return [user.decode() for _, user in sorted(ranked)]

    async def _with_state(self, users: Sequence[str]) -> list[str]:
        """Return those of whom anything stands; of who was erased there is a header, which keeps him out."""
        pipeline = self._client.pipeline(transaction=False)
        for user_id in users:
            keys = self._keys(user_id)
            pipeline.hlen(keys.history(user_id))
            pipeline.exists(keys.feedback(user_id), keys.profile(user_id), keys.activity(user_id))
        answers: list[int] = await pipeline.execute() if users else []
        pairs = zip(users, answers[::2], answers[1::2], strict=True)
        return [user_id for user_id, fields, others in pairs if fields > 1 or others]
