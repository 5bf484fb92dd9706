"""The log, of which only the tail comes from Kafka: the snapshot has the rest.

A snapshot counts only if the log has, where it ends, the very records that it ended with; else it is thrown away, and
all is read again. Equal logs have equal digests either way.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from adapters.follow import Catalogue, ControlLog
from adapters.kafka import open_reader
from adapters.records import Record, event_or_none
from schemas.control import ControlState
from schemas.events import Erased, LearnerEvent
from schemas.topics import COURSES, LEARNER_EVENTS
from trainer.log import FETCH_BYTES, Ends, Log, captured_ends, erasures, offset_vectors, records_between, snapshot
from trainer.snapshot import MOST_PARTS, Index, Mark, Row, SnapshotError, load, owned, save

logger: Final = logging.getLogger(__name__)


@dataclass
class Reading:
    """What is known of the log so far."""

    control: ControlState
    catalogue: Catalogue
    dead_letters: int = 0
    rows: list[Row] = field(default_factory=list)
    events: list[LearnerEvent] = field(default_factory=list)
    marks: dict[int, Mark] = field(default_factory=dict)
    kept: int = 0
    """The first so many rows stand in the snapshot; -1 if it has rows that are to leave it."""

    def take(self, record: Record) -> None:
        """Take in a record of `learner-events`, be it from the log or from the snapshot."""
        event = event_or_none(record, self.control.partitions, self.control.quarantined)
        if event is None:
            self.dead_letters += 1
        else:
            self.rows.append(Row(record.partition, record.offset, record.timestamp, cast("bytes", record.value)))
            self.events.append(cast("LearnerEvent", event))

    def take_kept(self, rows: Sequence[Row]) -> None:
        """Take in the rows of the snapshot; one may have been quarantined since."""
        for row in rows:
            self.take(row)
        self.kept = len(rows) if len(self.rows) == len(rows) else -1

    def forget_erased(self) -> None:
        """Drop what the erasures among the events delete; they stay themselves, for what comes late."""
        erased = erasures(self.pairs())
        stays = [
            isinstance(event, Erased) or event.occurred_us > erased.get(event.user_id, -1) for event in self.events
        ]
        if not all(stays[: max(self.kept, 0)]):
            self.kept = -1
        self.rows = [row for row, keep in zip(self.rows, stays, strict=True) if keep]
        self.events = [event for event, keep in zip(self.events, stays, strict=True) if keep]

    def pairs(self) -> list[tuple[LearnerEvent, int]]:
        """Return the events and when they were appended, ms."""
        return [(event, row.timestamp) for event, row in zip(self.events, self.rows, strict=True)]


async def read_kept_log(bootstrap_servers: str, folder: Path) -> Log:
    """Read `learner-events` and `courses` to the ends they have now, and bring the snapshot in `folder` up to them.

    Where another training is at it, or the folder cannot be written, all comes from Kafka. Raises LogTruncatedError and
    NotReadyError as `read_log` does.
    """
    async with ControlLog(bootstrap_servers) as control:
        state = control.state
    try:
        with owned(folder) as ours:
            return await _read(bootstrap_servers, folder if ours else None, state)
    except OSError as error:
        logger.warning("the snapshot in %s cannot be used: %s", folder, error)
        return await _read(bootstrap_servers, None, state)


async def _read(bootstrap_servers: str, folder: Path | None, state: ControlState) -> Log:
    async with open_reader(bootstrap_servers, max_partition_fetch_bytes=FETCH_BYTES) as consumer:
        ends = await captured_ends(consumer, (LEARNER_EVENTS, COURSES))
        begins: Ends = dict(await consumer.beginning_offsets(list(ends)))
        reading, index = Reading(state, Catalogue(bootstrap_servers)), Index()
        try:
            if folder is not None:
                index, rows = load(folder)
                reading.dead_letters = index.dead_letters
                reading.take_kept(rows)
            await _read_tail(consumer, reading, index, begins, ends)
        except SnapshotError as error:
            logger.warning("the snapshot in %s is thrown away and made again: %s", folder, error)
            reading, index = Reading(state, Catalogue(bootstrap_servers)), Index()
            await _read_tail(consumer, reading, index, begins, ends)
    reading.forget_erased()
    log = snapshot(reading.pairs(), reading.catalogue.courses, offset_vectors(ends), reading.dead_letters)
    if folder is not None:
        _save(folder, index, reading, log, _shards(begins))
    return log


async def _read_tail(consumer: AIOKafkaConsumer, reading: Reading, index: Index, begins: Ends, ends: Ends) -> None:
    """Read what the snapshot does not have; SnapshotError if it is none of this log.

    Each partition is read from the last record that the snapshot knows of, which proves that it is the same log.
    """
    starts = dict(begins)
    if index.ends:
        if index.begins != _shards(begins):
            raise SnapshotError("the log begins elsewhere than it did")
        if any(known > now for known, now in zip(index.ends, _shards(ends), strict=True)):
            raise SnapshotError("the log ends before it")
        starts |= {TopicPartition(LEARNER_EVENTS, shard): end for shard, end in enumerate(index.ends)}
        starts |= {TopicPartition(LEARNER_EVENTS, shard): mark.offset for shard, mark in index.marks.items()}
    unproved = dict(index.marks)
    async for record in records_between(consumer, starts, ends):
        if record.topic == COURSES:
            reading.catalogue.take(record)
            continue
        reading.marks[record.partition] = _mark(record)
        wanted = unproved.pop(record.partition, None)
        if wanted is None:
            reading.take(record)
        elif wanted != reading.marks[record.partition]:
            raise SnapshotError(f"shard {record.partition} has another record at offset {wanted.offset}")
    if unproved:
        raise SnapshotError(f"shard {min(unproved)} lacks the last record that it had")


def _shards(offsets: Ends) -> list[int]:
    return offset_vectors(offsets)[LEARNER_EVENTS]


def _mark(record: ConsumerRecord) -> Mark:
    return Mark(record.offset, record.timestamp, hashlib.sha256(record.value or b"").hexdigest())


def _save(folder: Path, index: Index, reading: Reading, log: Log, begins: list[int]) -> None:
    """Write what is new, or all of it if rows have left the snapshot or it has many parts."""
    anew = reading.kept < 0 or len(index.parts) >= MOST_PARTS
    if not anew and index.ends == log.offsets[LEARNER_EVENTS]:
        return
    wanted = Index(
        begins=begins,
        ends=log.offsets[LEARNER_EVENTS],
        marks=reading.marks,
        dead_letters=reading.dead_letters,
        digest=log.digest,
    )
    rows = reading.rows if anew else reading.rows[reading.kept :]
    save(folder, wanted, [] if anew else index.parts, rows)
