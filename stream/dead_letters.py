"""Dead letters: the original bytes of a record that is no event, with where it stood and why."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from aiokafka import AIOKafkaProducer

from adapters.records import Record, read_event
from schemas.control import ControlState
from schemas.errors import InvalidEventError
from schemas.events import AnyEvent
from schemas.topics import DEAD_LETTERS

_MAX_REASON: Final = 500


class DeadRecord(NamedTuple):
    """A record that is no event, and why."""

    record: Record
    error: InvalidEventError


def sort_out(
    records: Sequence[Record], control: ControlState
) -> tuple[list[tuple[Record, AnyEvent]], list[DeadRecord]]:
    """Return the records that are events, with them, and those that are none."""
    good, dead = [], []
    for record in records:
        try:
            good.append((record, read_event(record, control.partitions, control.quarantined)))
        except InvalidEventError as error:
            dead.append(DeadRecord(record, error))
    return good, dead


def headers_of(dead: DeadRecord) -> list[tuple[str, bytes]]:
    """Return a dead letter's headers: source topic, partition, offset, field and reason."""
    record, error = dead
    return [
        ("source-topic", record.topic.encode()),
        ("source-partition", str(record.partition).encode()),
        ("source-offset", str(record.offset).encode()),
        ("field", error.field.encode()[:_MAX_REASON]),
        ("reason", error.reason.encode()[:_MAX_REASON]),
    ]


async def write_dead_letters(producer: AIOKafkaProducer, dead: Sequence[DeadRecord]) -> None:
    """Write dead letters and wait until they are kept. A record read twice is written twice: same source headers."""
    futures = [
        await producer.send(DEAD_LETTERS, one.record.value or b"", key=one.record.key, headers=headers_of(one))
        for one in dead
    ]
    for future in futures:
        await future
