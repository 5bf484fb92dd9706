"""Whether what Redis holds includes all that was acknowledged: a server that came back may lack its last second."""

import time
from typing import NamedTuple, Protocol

from schemas.meta import Status


class Ends(Protocol):
    """Where the log ends."""

    def end_since(self, shard: int, moment: float) -> int | None:
        """Return where a shard's log ended at some time after a moment; None if that is not known yet."""

    def hurry(self) -> None:
        """Read the ends now."""


class Stand(NamedTuple):
    """A shard's meta as a reader sees it."""

    status: Status | None = None
    nonce: str = ""
    applied: int = -1


class Trust:
    """Doubts a shard until it has applied where the log ended later than the doubt.

    Pending writes and merges of the last second are lost together with a server that is killed; what was acknowledged
    stands in the log. All shards are doubted from the start of this process, and whenever their server has forgotten.
    """

    def __init__(self, ends: Ends) -> None:
        self._ends = ends
        self._all_at = time.monotonic()
        self._doubted_at: dict[int, float] = {}
        self._proved: set[int] = set()

    def doubted_at(self, shard: int) -> float:
        """Return since when a shard is doubted, or was before it was proved; it names the doubt."""
        return max(self._doubted_at.get(shard, self._all_at), self._all_at)

    def doubt_all(self) -> None:
        """Doubt every shard: a server has lost its memory."""
        self._all_at = time.monotonic()
        self._proved.clear()
        self._ends.hurry()

    def doubt(self, shard: int) -> None:
        """Doubt one shard: its state is another one."""
        self._doubted_at[shard] = time.monotonic()
        self._proved.discard(shard)
        self._ends.hurry()

    def is_proved(self, shard: int, applied: int, doubted_at: float) -> bool:
        """Return whether a state that was read after `doubted_at` holds all that was acknowledged before."""
        if doubted_at != self.doubted_at(shard):  # doubted again since it was read
            return False
        if shard not in self._proved:
            end = self._ends.end_since(shard, doubted_at)
            if end is None or applied < end - 1:
                return False
            self._proved.add(shard)
        return True
