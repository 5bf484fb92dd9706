"""What lies beside each shard: which state this is and what it has seen; and the header of a history.

`meta` is a hash, all values decimal or plain ASCII:

| field | what |
|---|---|
| `generation` | the generation this copy of the view belongs to |
| `status` | `wiping` (leftovers of a lost state), `building`, `live` or `retired` |
| `nonce` | 32 hex digits, random for each meta: another one means this is not the state the worker knew |
| `applied` | the last offset of `learner-events` merged; beginning - 1 of an empty partition |
| `log` | the broker's id of the topic that was merged; empty until an owner has noted it |
| `quarantine` | a record of `control` that is still to be written: the record that was passed over (empty: none) |
| `sweep` | `[>BEGAN ]MODEL[:ARMS] CATALOGUE SCORE`: swept to what, down to which score (`-inf`: all), begun where |
| `replay` | the replay that fills it, as its lease names it; empty once it is filled, or if an owner fills it |
| `emptied` | `1` once nothing but this meta is left of a retired state |

The **header** of a history (its field "") holds four u64, big-endian, 32 bytes: offset + 1 of the last record of
`learner-events` and of `activity` that concerned this learner (the state version); the erasure threshold as the first
8 bytes of a stamp (us << 4 | 15: a register whose head is not greater is erased), 0 if there is none; and offset + 1
of the last erasure (a list computed before it is refused).
"""

import struct
from enum import StrEnum
from typing import Final, NamedTuple

HEADER_FIELD: Final = ""
_HEADER: Final = struct.Struct(">QQQQ")


class Status(StrEnum):
    """What a shard's state is good for."""

    WIPING = "wiping"
    BUILDING = "building"
    LIVE = "live"
    RETIRED = "retired"


class Meta(NamedTuple):
    """A shard's meta as read."""

    generation: int
    status: Status
    nonce: str
    applied: int
    sweep: str = ""
    replay: str = ""
    emptied: bool = False
    log: str = ""
    quarantine: str = ""


class Header(NamedTuple):
    """A learner's state version and erasure. Offsets are -1 where there is none, `erased_through_us` 0."""

    learner_offset: int = -1
    activity_offset: int = -1
    erased_through_us: int = 0
    erased_offset: int = -1


def unpack_meta(fields: dict[bytes, bytes]) -> Meta | None:
    """Return the meta a hash holds, or None if there is none."""
    if b"nonce" not in fields:
        return None
    text = {name.decode(): value.decode() for name, value in fields.items()}
    return Meta(
        int(text["generation"]),
        Status(text["status"]),
        text["nonce"],
        int(text["applied"]),
        text.get("sweep", ""),
        text.get("replay", ""),
        "emptied" in text,
        text.get("log", ""),
        text.get("quarantine", ""),
    )


def pack_header(header: Header) -> bytes:
    """Return the 32 bytes of a history's header."""
    threshold = header.erased_through_us << 4 | 15 if header.erased_through_us else 0
    return _HEADER.pack(header.learner_offset + 1, header.activity_offset + 1, threshold, header.erased_offset + 1)


def unpack_header(packed: bytes | None) -> Header:
    """Return the header of a history; that of an unknown learner if there is none.

    >>> unpack_header(pack_header(Header(5, -1, 7, 3))), unpack_header(None) == Header()
    (Header(learner_offset=5, activity_offset=-1, erased_through_us=7, erased_offset=3), True)
    """
    if not packed:
        return Header()
    learner, activity, threshold, erased = _HEADER.unpack(packed)
    return Header(learner - 1, activity - 1, threshold >> 4, erased - 1)
