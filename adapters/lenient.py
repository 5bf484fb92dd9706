"""Reading records whose headers have names that are not UTF-8.

No broker checks them, and aiokafka raises at such a record: no consumer would ever get past it.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, SupportsIndex

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy


class _Lenient(bytearray):
    """Bytes that decode whatever they hold; so do their slices."""

    def __getitem__(self, at: SupportsIndex | slice) -> Any:
        part = super().__getitem__(at)
        return _Lenient(part) if isinstance(at, slice) else part

    def decode(self, encoding: str = "utf-8", _errors: str = "") -> str:
        """Decode, with a replacement character for what is none."""
        return super().decode(encoding, "replace")


class _LenientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]  # aiokafka has no types
    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _Lenient(self._buffer)


class _Batch:
    """A batch as aiokafka reads it in C; read again in Python from the first record on that it can't decode."""

    def __init__(self, batch: Any, raw: memoryview) -> None:
        self._batch = batch
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        taken = 0
        try:
            for record in self._batch:
                yield record
                taken += 1
        except UnicodeDecodeError:
            yield from islice(_LenientBatch(self._raw), taken, None)


class _LenientRecords(_MemoryRecordsPy):  # type: ignore[misc]  # aiokafka has no types
    def next_batch(self, *_: Any) -> Any:
        """Return the next batch of a fetch."""
        raw = self._next_slice
        batch = super().next_batch()
        return batch if raw is None or batch.is_control_batch else _Batch(batch, raw)


def accept_any_header_name() -> None:
    """Let every consumer of this process read such records."""
    fetcher.MemoryRecords = _LenientRecords
