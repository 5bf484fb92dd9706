"""Registers: the last-writer-wins cells a learner's history is made of, packed.

    register = stamp (24 bytes) + value (by rank)
    stamp    = u64 big-endian of (occurred_at in us << 4 | rank), then the 16 bytes of the event id

A greater byte string is a later writer, so joining two registers of a kind is `max`: idempotent, commutative,
associative. The order is (occurred_at, rank, event id, content). A **record** is the registers of one learner and
course, one of a kind, in the order of their kinds.

| rank | kind | value | bytes |
|---|---|---|---|
| enrolled 1, dropped 2 | 1 | - | 24 |
| progressed 3 | 3 | f32 fraction | 28 |
| completed 4 | 4 | - | 24 |
| rated 5, graded 7 | 5, 7 | f32 value, f32 scale low, f32 scale high | 36 |
| reviewed 6 | 6 | u16 length, UTF-8 | 26 + length |
| feedback 8 | 8 | u8: 0 none, 1 not_for_me, 2 useful | 25 |
| interests 9, goals 10, languages 11, level 12 | 9..12 | u16 length, JSON | 26 + length |

All numbers are big-endian. `stream/merge.lua` reads the same layout.
"""

import struct
from enum import IntEnum
from typing import Final, NamedTuple

from schemas.ids import event_uuid

STAMP_BYTES: Final = 24


class Rank(IntEnum):
    """Type rank: breaks ties of `occurred_at`, and tells a register's kind and the layout of its value."""

    ENROLLED = 1
    DROPPED = 2
    PROGRESSED = 3
    COMPLETED = 4
    RATED = 5
    REVIEWED = 6
    GRADED = 7
    FEEDBACK = 8
    INTERESTS = 9
    GOALS = 10
    LANGUAGES = 11
    LEVEL = 12


ENROLMENT: Final = int(Rank.ENROLLED)
"""The one kind with two ranks: the enrolment register holds `enrolled` or `dropped`."""

PROFILE_RANKS: Final = {
    "interests": Rank.INTERESTS,
    "goals": Rank.GOALS,
    "languages": Rank.LANGUAGES,
    "level": Rank.LEVEL,
}
FEEDBACK_CODES: Final = {"none": 0, "not_for_me": 1, "useful": 2}
FEEDBACK_NAMES: Final = {code: name for name, code in FEEDBACK_CODES.items()}

_DROPPED: Final = int(Rank.DROPPED)
_VALUE_BYTES: Final[dict[int, int]] = {
    Rank.ENROLLED: 0, Rank.DROPPED: 0, Rank.PROGRESSED: 4, Rank.COMPLETED: 0, Rank.RATED: 12,
    Rank.GRADED: 12, Rank.FEEDBACK: 1,
}  # fmt: skip
_LENGTH: Final = struct.Struct(">H")
_FRACTION: Final = struct.Struct(">f")
_SCORE: Final = struct.Struct(">fff")


class Stamp(NamedTuple):
    """Who wrote a register: microseconds since 1970, type rank, 16 bytes of event id."""

    occurred_us: int
    rank: Rank
    event_id: bytes


def pack_stamp(occurred_us: int, rank: int, event_id: str) -> bytes:
    """Return the 24 bytes a register begins with.

    >>> pack_stamp(1, Rank.DROPPED, "00000000-0000-0000-0000-000000000007").hex()
    '000000000000001200000000000000000000000000000007'
    """
    return (occurred_us << 4 | rank).to_bytes(8, "big") + event_uuid(event_id)


def unpack_stamp(register: bytes) -> Stamp:
    """Return the stamp of a register."""
    head = int.from_bytes(register[:8], "big")
    return Stamp(head >> 4, Rank(head & 15), register[8:STAMP_BYTES])


def kind_of(register: bytes) -> int:
    """Return a register's kind: its rank, except that `dropped` is of kind `ENROLMENT`."""
    rank = register[7] & 15
    return ENROLMENT if rank == _DROPPED else rank


def pack_fraction(fraction: float) -> bytes:
    """Return the value of a progress register, 4 bytes."""
    return _FRACTION.pack(fraction)


def pack_score(value: float, low: float, high: float) -> bytes:
    """Return the value of a rating or grade register, 12 bytes."""
    return _SCORE.pack(value, low, high)


def pack_text(text: bytes) -> bytes:
    """Return the value of a review or profile register: length and UTF-8."""
    return _LENGTH.pack(len(text)) + text


def _shortest(value: float) -> float:
    """Return the decimal that a person would have written for a value kept as f32."""
    return float(f"{value:.7g}")


def unpack_fraction(register: bytes) -> float:
    """Return the fraction, 0 to 1, of a progress register."""
    return _shortest(_FRACTION.unpack_from(register, STAMP_BYTES)[0])


def unpack_score(register: bytes) -> tuple[float, float, float]:
    """Return (value, scale low, scale high) of a rating or grade register, to 7 significant digits.

    >>> unpack_score(bytes(24) + pack_score(4.3, 1, 5))
    (4.3, 1.0, 5.0)
    """
    value, low, high = _SCORE.unpack_from(register, STAMP_BYTES)
    return _shortest(value), _shortest(low), _shortest(high)


def unpack_text(register: bytes) -> bytes:
    """Return the UTF-8 of a review or profile register."""
    return register[STAMP_BYTES + 2 :]


def register_bytes(rank: int, packed: bytes, start: int = 0) -> int:
    """Return the length of the register of this rank that begins at `start`."""
    fixed = _VALUE_BYTES.get(rank)
    if fixed is not None:
        return STAMP_BYTES + fixed
    Rank(rank)  # raises for what is none
    return STAMP_BYTES + 2 + int(_LENGTH.unpack_from(packed, start + STAMP_BYTES)[0])


def split_record(packed: bytes) -> dict[int, bytes]:
    """Return the registers of a packed record by kind."""
    registers, at = {}, 0
    while at < len(packed):
        end = at + register_bytes(packed[at + 7] & 15, packed, at)
        register = packed[at:end]
        registers[kind_of(register)] = register
        at = end
    return registers


def join_record(packed: bytes, registers: dict[int, bytes]) -> bytes:
    """Return the join of a packed record with further registers: the later writer of each kind.

    >>> old, new = (pack_stamp(us, Rank.ENROLLED, "e") for us in (1, 2))
    >>> join_record(old, {ENROLMENT: new}) == join_record(new, {ENROLMENT: old}) == new
    True
    """
    joined = split_record(packed)
    for kind, register in registers.items():
        if register > joined.get(kind, b""):
            joined[kind] = register
    return b"".join(joined[kind] for kind in sorted(joined))
