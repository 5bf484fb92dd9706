"""Dead letters: the original bytes of a record that is no event, with where it stood and why."""

from collections.abc import Sequence
from typing import Final

from aiokafka import AIOKafkaProducer

from schemas.topics import DEAD_LETTERS
from stream.merge import DeadRecord

_MAX_REASON: Final = 500


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
