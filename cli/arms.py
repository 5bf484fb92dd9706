"""The arms of a simulation: how learners are divided, and how much of what was possible each arm's lists achieve."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

ARMS: Final = ("hybrid", "popular", "random")
BUCKET_S: Final = 5.0
WINDOW: Final = 12
"""The sliding window, in buckets of `BUCKET_S`."""


def arm_of(user_id: str) -> str:
    """Return a learner's arm: the same in every run.

    >>> arm_of("learner-0001") == arm_of("learner-0001")
    True
    """
    return ARMS[int.from_bytes(hashlib.sha256(user_id.encode()).digest()[:8], "big") % len(ARMS)]


@dataclass
class Tally:
    """Decisions made before a list, the satisfaction they brought, and the best that was within reach."""

    decisions: int = 0
    satisfaction: float = 0.0
    oracle: float = 0.0

    def add(self, satisfaction: float, oracle: float) -> None:
        """Count one decision; one against everything shown brings 0."""
        self.decisions += 1
        self.satisfaction += satisfaction
        self.oracle += oracle

    @property
    def share(self) -> float | None:
        """Satisfaction as a share of the oracle's; None before the first decision."""
        return self.satisfaction / self.oracle if self.oracle else None


def joined(tallies: Sequence[Tally]) -> Tally:
    """Return the sum of tallies."""
    return Tally(
        sum(one.decisions for one in tallies),
        sum(one.satisfaction for one in tallies),
        sum(one.oracle for one in tallies),
    )


@dataclass
class Scores:
    """Tallies of each arm by buckets of time since the start."""

    buckets: dict[str, list[Tally]] = field(default_factory=lambda: {arm: [] for arm in ARMS})

    def add(self, arm: str, elapsed_s: float, satisfaction: float, oracle: float) -> None:
        """Count a decision."""
        self.reach(elapsed_s)
        self.buckets[arm][-1].add(satisfaction, oracle)

    def reach(self, elapsed_s: float) -> None:
        """Open the buckets up to a moment, also those in which nobody decides."""
        for own in self.buckets.values():
            while len(own) <= elapsed_s // BUCKET_S:
                own.append(Tally())

    def total(self, arm: str) -> Tally:
        """Return an arm's sum since the start."""
        return joined(self.buckets[arm])

    def recent(self, arm: str) -> Tally:
        """Return an arm's sum over the sliding window."""
        return joined(self.buckets[arm][-WINDOW:])

    def course(self, arm: str) -> list[float | None]:
        """Return an arm's share over the window that ends with each bucket."""
        own = self.buckets[arm]
        return [joined(own[max(0, end - WINDOW) : end]).share for end in range(1, len(own) + 1)]

    def answer(self) -> dict[str, dict[str, Any]]:
        """Return what programs are given."""
        return {arm: _answer(self.total(arm), self.recent(arm)) for arm in ARMS}


def _answer(total: Tally, recent: Tally) -> dict[str, Any]:
    mean = max(total.decisions, 1)
    return {
        "share": _rounded(total.share),
        "recent_share": _rounded(recent.share),
        "decisions": total.decisions,
        "satisfaction": _rounded(total.satisfaction / mean),
        "oracle": _rounded(total.oracle / mean),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
