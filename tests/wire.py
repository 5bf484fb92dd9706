"""Batches as a foreign producer may write them, byte by byte: what no client of ours would send."""

import gzip
import struct
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy as Builder
from aiokafka.record.default_records import calc_crc32c
from aiokafka.structs import RecordMetadata

GZIP: Final = 1
ZSTD: Final = 4
_HEADER_BYTES: Final = Builder.HEADER_STRUCT.size


class Wire(NamedTuple):
    """A record; header names are bytes, since nobody checks that they are UTF-8."""

    value: bytes | None
    key: bytes | None = b"k"
    headers: tuple[tuple[bytes, bytes | None], ...] = ()


class _Name(bytes):
    def encode(self, _: str) -> bytes:
        """Return the bytes as they are."""
        return bytes(self)


def zstd_stored(payload: bytes) -> bytes:
    """Return a Zstandard frame (RFC 8878) of raw blocks: no library is needed to write one."""
    blocks = [payload[at : at + 100_000] for at in range(0, len(payload), 100_000)] or [b""]
    frame = struct.pack("<IBQ", 0xFD2FB528, 0xE0, len(payload))
    for number, block in enumerate(blocks):
        is_last = number == len(blocks) - 1
        frame += struct.pack("<I", len(block) << 3 | is_last)[:3] + block
    return frame


def batch_of(records: Sequence[Wire], codec: int = 0) -> bytes:
    """Return the bytes of a batch, compressed as said."""
    builder = Builder(2, 0, 0, -1, -1, 0, 1 << 30)
    for offset, record in enumerate(records):
        headers: Any = [(_Name(name), value) for name, value in record.headers]
        builder.append(offset, 1_000, record.key, record.value, headers)
    return packed(bytes(builder.build()), codec)


def packed(batch: bytes, codec: int) -> bytes:
    """Return a batch with its records compressed; length, attributes and checksum are set anew."""
    header, payload = batch[:_HEADER_BYTES], batch[_HEADER_BYTES:]
    if codec == GZIP:
        payload = gzip.compress(payload, 9)
    elif codec == ZSTD:
        payload = zstd_stored(payload)
    made = bytearray(header + payload)
    struct.pack_into(">i", made, 8, len(made) - Builder.AFTER_LEN_OFFSET)
    struct.pack_into(">h", made, Builder.ATTRIBUTES_OFFSET, codec)
    struct.pack_into(">I", made, Builder.CRC_OFFSET, calc_crc32c(bytes(made[Builder.ATTRIBUTES_OFFSET :])))
    return bytes(made)


class _Handmade:
    """A batch in the place of aiokafka's own."""

    def __init__(self, batch: bytes, count: int) -> None:
        self._batch, self._count = batch, count

    def close(self) -> None:
        """Nothing can be added anyway."""

    def closed(self) -> bool:
        """Return that it is complete."""
        return True

    def record_count(self) -> int:
        """Return the number of records."""
        return self._count

    def size(self) -> int:
        """Return the number of bytes."""
        return len(self._batch)

    def _build(self) -> bytes:
        return self._batch


async def send_raw(producer: AIOKafkaProducer, batch: bytes, count: int, topic: str, partition: int) -> RecordMetadata:
    """Append a batch as it is, by a producer that is not idempotent; return where its first record stands."""
    future = await producer.send_batch(_Handmade(batch, count), topic, partition=partition)
    sent: RecordMetadata = await future
    return sent
