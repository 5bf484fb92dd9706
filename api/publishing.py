"""Publishing events: appended to the log, noted as pending, then answered."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from adapters.follow import ControlLog
from adapters.kafka import shard_of
from adapters.redis import Call, Client, Script
from api.event_log import EventLog, Record
from schemas.courses import Course, encode_course
from schemas.events import LEARNER_EVENTS, AnyEvent, CourseEvent, Feedback
from schemas.keys import ShardKeys
from schemas.pending import TTL_S, Pending, pack_pending
from schemas.registers import Rank
from schemas.topics import ACTIVITY, COURSES, Position
from schemas.topics import LEARNER_EVENTS as LEARNER_EVENTS_TOPIC

_PEND: Final = Script(Path(__file__).with_name("pend.lua"))


class Published(NamedTuple):
    """Where an event stands, when it was appended (ms), and through when the learner is known to be erased (us)."""

    position: Position
    appended_ms: int
    erased_through_us: int = 0


class PendingWrite(NamedTuple):
    """An acknowledged event that readers respect before it is merged."""

    user_id: str
    course_id: str
    pending: Pending


def record_of(event: AnyEvent, value: bytes, partitions: int) -> Record:
    """Return the record of an event that is encoded already: in its topic, in its learner's partition."""
    topic = LEARNER_EVENTS_TOPIC if isinstance(event, LEARNER_EVENTS) else ACTIVITY
    return Record(topic, shard_of(event.user_id, partitions), event.user_id.encode(), value)


def pending_write(event: AnyEvent, position: Position) -> PendingWrite | None:
    """Return what readers respect until the event is merged: of hard state about a course, what hides it.

    Feedback other than "not for me" hides nothing, so it is not noted.
    """
    if position.topic != LEARNER_EVENTS_TOPIC or not isinstance(event, CourseEvent):
        return None
    if isinstance(event, Feedback) and event.value != "not_for_me":
        return None
    rank = Rank[event.type_name.upper()]
    return PendingWrite(event.user_id, event.course_id, Pending(position.offset, rank))


def greatest(positions: Sequence[Position]) -> list[Position]:
    """Return the greatest position of each partition, in order.

    >>> [str(one) for one in greatest([Position("activity", 0, 3), Position("activity", 0, 5)])]
    ['activity:0:5']
    """
    newest: dict[tuple[str, int], Position] = {}
    for one in positions:
        place = one.topic, one.partition
        if place not in newest or one > newest[place]:
            newest[place] = one
    return sorted(newest.values())


class Publisher:
    """Puts events and courses into the log. Its client is its own: what waits to be noted holds up no reader."""

    def __init__(self, log: EventLog, client: Client, control: ControlLog, timeout_s: float) -> None:
        self._log = log
        self._client = client
        self._control = control
        self._timeout_s = timeout_s

    async def publish(self, events: Sequence[AnyEvent], values: Sequence[bytes]) -> list[Published]:
        """Return where the events stand, once Kafka keeps their encoded values and readers respect them.

        An erasure is looked up for those events only that readers have to respect. Raises NotReadyError, RedisError or
        TimeoutError: then it is unknown, and safe to repeat.
        """
        partitions = self._control.state.partitions
        records = [record_of(event, value, partitions) for event, value in zip(events, values, strict=True)]
        appended = await self._log.append(records)
        published = [
            Published(Position(record.topic, record.partition, one.offset), one.appended_ms)
            for record, one in zip(records, appended, strict=True)
        ]
        pairs = zip(events, published, strict=True)
        written = {i: write for i, (event, one) in enumerate(pairs) if (write := pending_write(event, one.position))}
        async with asyncio.timeout(self._timeout_s):
            thresholds = await self._pend(list(written.values()))
        for i, erased_through_us in zip(written, thresholds, strict=True):
            published[i] = published[i]._replace(erased_through_us=erased_through_us)
        return published

    async def publish_course(self, course: Course) -> int:
        """Return the offset of a course's record, once Kafka keeps it."""
        record = Record(COURSES, 0, course.course_id.encode(), encode_course(course))
        return (await self._log.append([record]))[0].offset

    async def _pend(self, written: Sequence[PendingWrite]) -> list[int]:
        """Note writes; return through when (us) each one's learner is known to be erased, 0 if not at all."""
        shards: dict[int, list[int]] = defaultdict(list)
        for place, one in enumerate(written):
            shards[shard_of(one.user_id, self._control.state.partitions)].append(place)
        generation = self._control.state.generation
        notes = [
            _note(ShardKeys(shard, generation), [written[place] for place in places])
            for shard, places in shards.items()
        ]
        thresholds = [0] * len(written)
        for places, answers in zip(shards.values(), await _PEND.run_all(self._client, notes), strict=True):
            for place, threshold in zip(places, answers, strict=True):
                thresholds[place] = int.from_bytes(threshold, "big") >> 4
        return thresholds


def _note(keys: ShardKeys, written: Sequence[PendingWrite]) -> Call:
    """Return what notes writes of one shard: keys and arguments of `pend.lua`."""
    args = [part for one in written for part in (one.user_id, one.course_id, pack_pending(one.pending))]
    declared = [key for one in written for key in (keys.pending(one.user_id), keys.history(one.user_id))]
    return [keys.meta, *declared], [TTL_S, *args]
