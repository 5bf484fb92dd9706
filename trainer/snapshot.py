"""What the trainer keeps of `learner-events`: a folder of Parquet files, and an index that names those that count.

The index is written last, by rename, so a snapshot is whole or the one before. Its files are believed only with their
digests. It holds valid events alone, and nothing that an erasure deletes; it is a copy, and may be lost at any time.
"""

import fcntl
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from schemas.errors import CoursestreamError, NotReadyError
from schemas.events import LEARNER_EVENTS as EVENT_TYPES
from schemas.events import SCHEMA_VERSION, Erased, decode_event
from schemas.topics import LEARNER_EVENTS

FORMAT: Final = 1
INDEX: Final = "snapshot.json"
RULES: Final = " ".join([str(SCHEMA_VERSION), *(kind.__name__ for kind in EVENT_TYPES)])
"""What was no event by other rules may be one now, and is not in the snapshot."""
MOST_PARTS: Final = 16
"""A snapshot of more parts is written anew as one."""

_LOCK: Final = "lock"
_COLUMNS: Final = pa.schema(
    [("partition", pa.int32()), ("offset", pa.int64()), ("appended_ms", pa.int64()), ("value", pa.binary())]
)


class SnapshotError(CoursestreamError):
    """A snapshot is damaged, of another format, or of another log."""


class Row(NamedTuple):
    """A record of the log that is a valid event: `value` is the event as it was published."""

    partition: int
    offset: int
    timestamp: int
    value: bytes
    topic: str = LEARNER_EVENTS
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()


class Mark(msgspec.Struct, frozen=True):
    """The last record that was read of a partition: a log that was made anew has another there."""

    offset: int
    appended_ms: int
    sha256: str


class Part(msgspec.Struct, frozen=True):
    """A Parquet file of rows."""

    name: str
    sha256: str


class Index(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot is of: the log between two offsets of each partition. `digest` is that of the whole `Log`."""

    format: int = FORMAT
    rules: str = RULES
    begins: list[int] = []
    ends: list[int] = []
    marks: dict[int, Mark] = {}
    parts: list[Part] = []
    dead_letters: int = 0
    digest: str = ""


@contextmanager
def owned(folder: Path) -> Iterator[bool]:
    """Make the folder, and own it until left; False if another training does."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def load(folder: Path) -> tuple[Index, list[Row]]:
    """Return the index and the rows of a snapshot, both empty if there is none; SnapshotError if it is damaged."""
    index = _read_index(folder)
    return index, [row for part in index.parts for row in _read_part(folder, part)]


def _read_index(folder: Path) -> Index:
    try:
        index = msgspec.json.decode((folder / INDEX).read_bytes(), type=Index)
    except FileNotFoundError:
        return Index()
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SnapshotError(f"{INDEX} cannot be read: {error}") from None
    if index.format != FORMAT:
        raise SnapshotError(f"it has format {index.format}, this code reads {FORMAT}")
    if index.rules != RULES:
        raise SnapshotError("it was made by other rules of what is an event")
    return index


def _read_part(folder: Path, part: Part) -> list[Row]:
    try:
        raw = (folder / part.name).read_bytes()
    except OSError as error:
        raise SnapshotError(f"{part.name} cannot be read: {error}") from None
    if hashlib.sha256(raw).hexdigest() != part.sha256:
        raise SnapshotError(f"{part.name} was changed since it was written")
    columns = pq.read_table(pa.BufferReader(raw)).to_pydict()
    return list(map(Row, *(columns[name] for name in _COLUMNS.names)))


def save(folder: Path, index: Index, kept: Sequence[Part], rows: Sequence[Row]) -> Index:
    """Write a snapshot of the parts that are there already and of these rows, and delete what no longer counts."""
    index = msgspec.structs.replace(index, parts=[*kept, *([_write_part(folder, rows)] if rows else [])])
    _write_index(folder, index)
    return index


def purge(folder: Path, user_id: str, through_us: int) -> int:
    """Delete a learner's events that are stamped at or before a moment; return how many left the files.

    A snapshot that cannot be read is deleted as a whole: what it holds cannot be known. Raises NotReadyError while a
    training reads it.
    """
    with owned(folder) as ours:
        if not ours:
            raise NotReadyError(f"a training is reading the snapshot in {folder}")
        left = 0
        kept: list[Part] = []
        try:
            index = _read_index(folder)
            for part in index.parts:
                rows = _read_part(folder, part)
                staying = [row for row in rows if not _covers(row, user_id, through_us)]
                left += len(rows) - len(staying)
                kept += [part] if len(staying) == len(rows) else [_write_part(folder, staying)] if staying else []
        except SnapshotError:
            index, kept = Index(), []
        _write_index(folder, msgspec.structs.replace(index, parts=kept, digest="" if left else index.digest))
        return left


def _covers(row: Row, user_id: str, through_us: int) -> bool:
    """Whether an erasure deletes a row; erasures themselves stay, for what comes late."""
    event = decode_event(row.value)
    return event.user_id == user_id and event.occurred_us <= through_us and not isinstance(event, Erased)


def _write_index(folder: Path, index: Index) -> None:
    """Write the index, and delete what no longer counts."""
    _replace(folder / INDEX, msgspec.json.format(msgspec.json.encode(index), indent=1))
    counting = {INDEX, _LOCK, *(part.name for part in index.parts)}
    for path in folder.iterdir():
        if path.name not in counting:
            path.unlink()


def _write_part(folder: Path, rows: Sequence[Row]) -> Part:
    columns = list(zip(*(row[: len(_COLUMNS)] for row in rows), strict=True))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(list(map(list, columns)), schema=_COLUMNS), sink, compression="zstd")
    raw = sink.getvalue().to_pybytes()
    sha256 = hashlib.sha256(raw).hexdigest()
    part = Part(f"{sha256[:16]}.parquet", sha256)
    _replace(folder / part.name, raw)
    return part


def _replace(path: Path, raw: bytes) -> None:
    incoming = path.with_suffix(".incoming")
    incoming.write_bytes(raw)
    incoming.rename(path)
