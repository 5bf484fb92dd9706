"""Ranks of what happened in what was recommended, and the metrics they come to: pure, a list at a time."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recommender.recommend import Recommendation
from trainer.cases import Case
from trainer.evaluate import TOP, gains_of, listed_rank
from trainer.verdict import Metrics

WINDOWS: Final = 20
"""The curve over time has so many points, each over the same number of tests."""


def metrics_of(ranks: NDArray[np.int64]) -> Metrics:
    """Return the metrics of 1-based ranks (0: not listed), one course to be found a test: recall is the hit rate.

    >>> metrics_of(np.array([1, 3, 11, 0]))
    {'recall@10': 0.5, 'hr@10': 0.5, 'ndcg@10': 0.375, 'mrr@10': 0.333333, 'precision@10': 0.05}
    """
    gained, size = gains_of(ranks), max(len(ranks), 1)
    hits = gained > 0
    recall = float(hits.sum()) / size
    gains = {
        f"recall@{TOP}": recall,
        f"hr@{TOP}": recall,
        f"ndcg@{TOP}": float(gained.sum()) / size,
        f"mrr@{TOP}": float(np.where(hits, 1.0 / np.maximum(ranks, 1), 0.0).sum()) / size,
        f"precision@{TOP}": recall / TOP,
    }
    return {name: round(value, 6) for name, value in gains.items()}


@dataclass
class Scoreboard:
    """What one model's lists came to, test by test in the order of time."""

    ranks: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    """Courses in the history before each test."""
    shown: set[str] = field(default_factory=set)

    def take(self, cases: Iterable[Case], lists: Iterable[Recommendation]) -> None:
        """Look up what happened in the lists that would have been served the moment before."""
        for case, listed in zip(cases, lists, strict=True):
            self.ranks.append(listed_rank(listed, case.course_id))
            self.lengths.append(len(case.learner.taken))
            self.shown.update(candidate.course_id for candidate in listed.candidates[:TOP])

    def metrics(self, num_courses: int) -> Metrics:
        """Return all metrics: over every test, and apart over those with an empty history."""
        ranks, empty = np.array(self.ranks, dtype=np.int64), np.array(self.lengths) == 0
        return {
            **metrics_of(ranks),
            f"coverage@{TOP}": round(len(self.shown) / max(num_courses, 1), 6),
            "tests": float(len(ranks)),
            f"recall@{TOP}_empty": metrics_of(ranks[empty])[f"recall@{TOP}"],
            f"recall@{TOP}_known": metrics_of(ranks[~empty])[f"recall@{TOP}"],
            "tests_empty": float(empty.sum()),
        }

    def curve(self) -> list[float]:
        """Return recall@10 in `WINDOWS` stretches of tests, oldest first."""
        parts = np.array_split(np.array(self.ranks, dtype=np.int64), WINDOWS)
        return [metrics_of(part)[f"recall@{TOP}"] for part in parts if len(part)]
