"""A learner's activity, packed: soft state that expires, outside the digest and outside guarantees.

A hash. Fields: `v:COURSE`, `c:COURSE`, `s:COURSE` -> u64 us of the newest view, click, showing (big-endian);
`q` -> the newest searches: each u64 us, u16 length, UTF-8; newest first, at most `MAX_SEARCHES`.
"""

import struct
from typing import Final

TTL_S: Final = 90 * 86_400
MAX_SEARCHES: Final = 20
MAX_COURSES: Final = 200
"""At most so many fields a learner: beyond them a new course is not remembered until the key expires."""

VIEWED: Final = "v:"
CLICKED: Final = "c:"
SHOWN: Final = "s:"
SEARCHES: Final = "q"

_MOMENT: Final = struct.Struct(">Q")
_SEARCH: Final = struct.Struct(">QH")


def pack_moment(occurred_us: int) -> bytes:
    """Return the 8 bytes of a moment."""
    return _MOMENT.pack(occurred_us)


def unpack_moment(packed: bytes) -> int:
    """Return microseconds since 1970."""
    return int(_MOMENT.unpack(packed)[0])


def pack_searches(searches: list[tuple[int, str]]) -> bytes:
    """Return the newest `MAX_SEARCHES` of (occurred_us, query), newest first, each query once.

    >>> unpack_searches(pack_searches([(1, "sql"), (2, "excel"), (3, "sql")]))
    [(3, 'sql'), (2, 'excel')]
    """
    newest = {query: moment for moment, query in sorted(searches)}
    ordered = sorted(((moment, query) for query, moment in newest.items()), reverse=True)
    parts = []
    for moment, query in ordered[:MAX_SEARCHES]:
        text = query.encode()
        parts.append(_SEARCH.pack(moment, len(text)) + text)
    return b"".join(parts)


def unpack_searches(packed: bytes) -> list[tuple[int, str]]:
    """Return (occurred_us, query), newest first."""
    searches, at = [], 0
    while at < len(packed):
        moment, length = _SEARCH.unpack_from(packed, at)
        at += _SEARCH.size + length
        searches.append((moment, packed[at - length : at].decode()))
    return searches
