"""Dead letters: the original bytes of a record that is no event, with where it stood and why."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Final, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError
from aiokafka.structs import RecordMetadata

from adapters.records import Record, read_event
from schemas import dead_letters as header
from schemas.control import ControlState
from schemas.errors import InvalidEventError
from schemas.events import AnyEvent
from schemas.topics import DEAD_LETTERS, MAX_MESSAGE_BYTES, Position

logger: Final = logging.getLogger(__name__)

PRODUCER: Final = {"enable_idempotence": False, "linger_ms": 5, "max_request_size": 2 * MAX_MESSAGE_BYTES}
"""Settings of the producer of dead letters: they may come twice, and an idempotent one is of no use any more once the
broker has refused a record."""

_MAX_REASON: Final = 500
_CUTS: Final = (65_536, 0)
"""Bytes that are tried, of value and key, when the topic takes no larger record."""
_MAX_DELAY_S: Final = 5.0


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
    """Return a dead letter's headers: source topic, partition, offset, field and reason; what it is a retry of."""
    record, error = dead
    return [
        (header.TOPIC, record.topic.encode()),
        (header.PARTITION, str(record.partition).encode()),
        (header.OFFSET, str(record.offset).encode()),
        (header.FIELD, error.field.encode(errors="replace")[:_MAX_REASON]),
        (header.REASON, error.reason.encode(errors="replace")[:_MAX_REASON]),
        *_retry_of(record),
    ]


def _retry_of(record: Record) -> list[tuple[str, bytes]]:
    """Return the header that says what a record is a retry of, if there is one that names a position."""
    for name, value in record.headers:
        with contextlib.suppress(ValueError):
            if name == header.RETRY_OF and value:
                return [(name, str(Position.parse(value.decode())).encode())]
    return []


def _is_away(error: KafkaError) -> bool:
    """Whether an error says that Kafka is away for now, rather than that it will never take the record."""
    return bool(error.retriable) or isinstance(error, KafkaTimeoutError)


def key_beside(value: bytes | None, key: bytes | None) -> bytes | None:
    """Return the key to write a value under: the client writes no record that has neither."""
    return b"" if value is None and key is None else key


async def keep(
    producer: AIOKafkaProducer,
    topic: str,
    value: bytes | None,
    key: bytes | None = None,
    headers: Sequence[tuple[str, bytes]] = (),
) -> RecordMetadata:
    """Append a record and wait until it is kept, however long Kafka is away; raise only what waiting can't mend."""
    delay_s = 0.1
    while True:
        try:
            sent: RecordMetadata = await producer.send_and_wait(topic, value, key, headers=list(headers))
            return sent
        except KafkaError as error:
            if not _is_away(error):
                raise
            logger.warning("%s takes no record: %r; trying again in %.1f s", topic, error, delay_s)
        await asyncio.sleep(delay_s)
        delay_s = min(2 * delay_s, _MAX_DELAY_S)


async def _keep_cut(producer: AIOKafkaProducer, dead: DeadRecord) -> None:
    """Keep what the topic takes of a letter. The record itself stays where it stood: nothing is lost by a cut."""
    value, key, headers = dead.record.value or b"", dead.record.key, headers_of(dead)
    size = str(len(value)).encode()
    for cut in _CUTS:
        cut_headers = [*headers, (header.WHOLE_BYTES, size)]
        try:
            await keep(producer, DEAD_LETTERS, value[:cut], key and key[:cut], cut_headers)
            return
        except MessageSizeTooLargeError:
            continue
    raise MessageSizeTooLargeError


async def _insist(producer: AIOKafkaProducer, dead: DeadRecord) -> None:
    """Keep a letter that was not kept at once; if the topic refuses it for good, say so: it must hold nothing up."""
    record = dead.record
    try:
        try:
            key = key_beside(record.value, record.key)
            await keep(producer, DEAD_LETTERS, record.value, key, headers_of(dead))
        except MessageSizeTooLargeError:
            await _keep_cut(producer, dead)
    except KafkaError as error:
        logger.error(
            "ALARM: the dead letter of %s:%d:%d (%s) can't be kept: %r; the record itself stays there",
            record.topic, record.partition, record.offset, dead.error, error,
        )  # fmt: skip


async def _begin(producer: AIOKafkaProducer, dead: DeadRecord) -> "asyncio.Future[RecordMetadata] | None":
    """Hand a letter to the producer; None if it did not take it."""
    record = dead.record
    try:
        sent: asyncio.Future[RecordMetadata] = await producer.send(
            DEAD_LETTERS, record.value, key=key_beside(record.value, record.key), headers=headers_of(dead)
        )
    except KafkaError:
        return None
    return sent


async def write_dead_letters(producer: AIOKafkaProducer, dead: Sequence[DeadRecord]) -> None:
    """Write dead letters and wait until they are kept. A record read twice is written twice: same source headers."""
    begun = [(one, await _begin(producer, one)) for one in dead]
    for one, sent in begun:
        try:
            if sent is not None:
                await sent
                continue
        except KafkaError as error:
            logger.warning("a dead letter was not kept at once: %r", error)
        await _insist(producer, one)
