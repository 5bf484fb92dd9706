"""Whether an agent is given what comes in: one that died, or whose consumer hangs, leaves everything to the fillers."""

from typing import Final

MISSES: Final = 3
"""So often in a row growth must have come to no agent: once, a filler or a reconnecting client was faster."""


class Delivery:
    """What comes in on one topic's partitions, and what its agent takes. Seconds are of any one clock."""

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._ends: dict[int, int] = {}
        self._waiting_since: float | None = None
        self._misses = 0

    @property
    def is_broken(self) -> bool:
        """Whether the agent was given nothing although there was something again and again."""
        return self._misses >= MISSES

    def took(self) -> None:
        """Note that the agent was given something."""
        self._waiting_since, self._misses = None, 0

    def look(self, ends: dict[int, int], now_s: float) -> None:
        """Take in where the log ends for the partitions whose agent should be given all that comes."""
        grew = any(end > self._ends.get(partition, end) for partition, end in ends.items())
        self._ends = dict(ends)
        if self._waiting_since is None:
            self._waiting_since = now_s if grew else None
        elif now_s - self._waiting_since > self._patience_s:
            self._waiting_since = None
            self._misses += 1
