"""Pending writes: course -> (offset, rank) of what was acknowledged but may not be merged yet. 9 bytes."""

import struct
from typing import Final, NamedTuple

from schemas.registers import Rank

TTL_S: Final = 7 * 86_400
"""Longer than any lag; the merge deletes entries long before."""

_LAYOUT: Final = struct.Struct(">QB")


class Pending(NamedTuple):
    """An acknowledged event of a course: its offset in the shard's partition and its type rank."""

    offset: int
    rank: Rank


def pack_pending(pending: Pending) -> bytes:
    """Return the 9 bytes of a pending write."""
    return _LAYOUT.pack(pending.offset, pending.rank)


def unpack_pending(packed: bytes) -> Pending:
    """Return the pending write of 9 bytes.

    >>> unpack_pending(pack_pending(Pending(3, Rank.DROPPED)))
    Pending(offset=3, rank=<Rank.DROPPED: 2>)
    """
    offset, rank = _LAYOUT.unpack(packed)
    return Pending(offset, Rank(rank))
