"""Reading one shard's state from a real server, in the form of the reference model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import ConsumerRecord
from redis.asyncio import RedisCluster

from adapters.redis import Client
from recommender.fold import StateDigest
from schemas.control import ControlState
from schemas.events import Enrolled, encode_event
from schemas.keys import ShardKeys
from schemas.meta import HEADER_FIELD, Header, unpack_header
from schemas.registers import STAMP_BYTES, split_record, unpack_stamp
from schemas.topics import LEARNER_EVENTS
from stream.merge import MergeAnswer, Run, Wanted, join_run, merge_run
from stream.view import ShardView
from tests.reference import Cell, Logged, ReferenceLearner

CONTROL: Final = ControlState(partitions=1)
_KINDS: Final = {
    1: "enrolment", 3: "progress", 4: "completed", 5: "rating", 6: "review", 7: "grade",
    9: "interests", 10: "goals", 11: "languages", 12: "level",
}  # fmt: skip


def record_of(entry: Logged, offset: int, partition: int = 0, topic: str = LEARNER_EVENTS) -> ConsumerRecord:
    """Return the record that a consumer reads at this offset."""
    key, value = entry.event.user_id.encode(), encode_event(entry.event)
    return ConsumerRecord(
        topic=topic, partition=partition, offset=offset, timestamp=entry.appended_ms, timestamp_type=1,
        key=key, value=value, checksum=None, serialized_key_size=len(key), serialized_value_size=len(value), headers=(),
    )  # fmt: skip


def enrolments(length: int, users: int = 3) -> list[Logged]:
    """Return a plain log: each event enrols one of a few learners in a course of its own."""
    return [
        Logged(Enrolled(event_id=f"e{i}", user_id=f"u{i % users}", course_id=f"c{i}", occurred_at=i), appended_ms=10**9)
        for i in range(length)
    ]


def run_of(log: Sequence[Logged], first: int, last: int) -> Run:
    """Return the run of a log's offsets `first` to `last`, as the worker cuts it."""
    records = [record_of(entry, offset) for offset, entry in enumerate(log)]
    run = join_run(records[first : last + 1], first, last, CONTROL)
    assert not run.dead
    return run


async def merge(client: Client, view: ShardView, log: Sequence[Logged], first: int, last: int) -> MergeAnswer:
    """Merge a log's offsets `first` to `last`."""
    answer = await merge_run(client, view, run_of(log, first, last), wanted=Wanted.FIRSTS)
    assert answer.status == "OK"
    return answer


def _cell(register: bytes) -> Cell:
    occurred_us, rank, event_id = unpack_stamp(register)
    return occurred_us, int(rank), event_id, register[STAMP_BYTES:]


@dataclass(frozen=True)
class Stored:
    """One learner's state as it stands packed on the server."""

    header: Header
    records: dict[str, bytes]
    feedback: dict[str, bytes]
    profile: dict[int, bytes]

    def unpacked(self) -> ReferenceLearner:
        """Return the state in the form of the reference model."""
        return ReferenceLearner(
            {
                course: {_KINDS[kind]: _cell(register) for kind, register in split_record(record).items()}
                for course, record in self.records.items()
            },
            {course: _cell(register) for course, register in self.feedback.items()},
            {_KINDS[kind]: _cell(register) for kind, register in self.profile.items()},
            self.header.erased_through_us,
        )


async def _keys(client: Client) -> list[bytes]:
    everywhere = {"target_nodes": RedisCluster.PRIMARIES} if isinstance(client, RedisCluster) else {}
    found: Any = await client.keys(**everywhere)  # of a cluster the client else asks one node
    return list(found)


async def _hash(client: Client, key: str | bytes) -> dict[bytes, bytes]:
    fields: Any = await client.hgetall(key.decode() if isinstance(key, bytes) else key)
    return dict(fields)


async def read_stored(client: Client, keys: ShardKeys) -> dict[str, Stored]:
    """Return every learner with a history, found by looking at every key rather than at the set of learners."""
    prefix = keys.history("")
    users = [key.decode().removeprefix(prefix) for key in await _keys(client) if key.decode().startswith(prefix)]
    stored = {}
    for user in users:
        history = await _hash(client, keys.history(user))
        feedback = await _hash(client, keys.feedback(user))
        profile = await _hash(client, keys.profile(user))
        stored[user] = Stored(
            unpack_header(history.pop(HEADER_FIELD.encode())),
            {course.decode(): record for course, record in history.items()},
            {course.decode(): register for course, register in feedback.items()},
            {int(kind): register for kind, register in profile.items()},
        )
    return stored


async def read_learners(client: Client, keys: ShardKeys) -> dict[str, ReferenceLearner]:
    """Return the state of every learner who has any."""
    states = {user: stored.unpacked() for user, stored in (await read_stored(client, keys)).items()}
    return {user: state for user, state in states.items() if state != ReferenceLearner()}


async def read_digest(client: Client, keys: ShardKeys) -> str:
    """Return the digest of all learners' state."""
    digest = StateDigest()
    for user, stored in (await read_stored(client, keys)).items():
        digest.add(user, stored.records, stored.feedback, stored.profile, stored.header.erased_through_us)
    return digest.hexdigest()


async def read_counts(client: Client, keys: ShardKeys) -> dict[tuple[str, int], int]:
    """Return current enrolments by course and day."""
    fields = await _hash(client, keys.counts)
    return {(field[:-4].decode(), int.from_bytes(field[-4:], "big")): int(count) for field, count in fields.items()}


async def read_scores(client: Client, key: str | bytes) -> dict[str, float]:
    """Return a sorted set."""
    pairs: Any = await client.zrange(key, 0, -1, withscores=True)
    return {member.decode(): score for member, score in pairs}


async def contents(client: Client) -> dict[bytes, object]:
    """Return everything the server holds: key -> hash, sorted set or string."""
    held: dict[bytes, object] = {}
    for key in await _keys(client):
        kind: Any = await client.type(key)
        if kind == b"hash":
            held[key] = await _hash(client, key)
        elif kind == b"zset":
            held[key] = await read_scores(client, key)
        else:
            held[key] = await client.get(key)
    return held
