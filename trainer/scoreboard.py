"""Ranks of what happened in what was recommended, and the metrics they come to: pure, a list at a time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recommender.content import Matrix
from trainer.cases import Case
from trainer.intervals import intervals, numbered
from trainer.metrics import CUTS, TOP, Doubles, Ranks, by_test, metrics_of
from trainer.shown import Listed, Shown
from trainer.verdict import Metrics

WINDOWS: Final = 20
"""The curve over time has so many points, each over the same number of tests."""

LENGTHS: Final = {"0": (0, 0), "1": (1, 1), "2": (2, 2), "3-5": (3, 5), "6+": (6, 2**31)}
"""Buckets by courses in the history before the test: least and most."""
NEW: Final = "new"
"""The bucket of the tests whose course nobody had met a week before."""

Buckets = dict[str, dict[str, Metrics]]
"""Bucket -> model -> metrics."""

_BOUNDED: Final = ("recall", "hr", "ndcg", "mrr")


def with_intervals(ranks: Ranks, owners: NDArray[np.int64], seed: int) -> Metrics:
    """Return the metrics of ranks, and 95 % intervals of the main ones at 10."""
    values = {name: one for name, one in by_test(ranks).items() if name.partition("@")[0] in _BOUNDED}
    return {**metrics_of(ranks), **intervals(values, owners, seed)}


@dataclass
class Scoreboard:
    """What one model's lists came to, test by test in the order of time; `seed`: of the resamples of intervals."""

    seed: int = 0
    ranks: list[int] = field(default_factory=list)
    user_ids: list[str] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    """Courses in the history before each test."""
    new: list[bool] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=lambda: [Shown(top) for top in CUTS])

    def take(
        self, cases: Iterable[Case], ranks: Sequence[int], listed: Listed, information: Doubles, vectors: Matrix
    ) -> None:
        """Take in tests: where the list of the moment before had what happened, and what else it showed."""
        self.ranks += ranks
        for case in cases:
            self.user_ids.append(case.user_id)
            self.lengths.append(len(case.learner.taken))
            self.new.append(case.is_new)
        for shown in self.shown:
            shown.take(listed, information, vectors)

    def metrics(self, num_courses: int) -> Metrics:
        """Return all metrics: over every test, and apart over those with an empty history."""
        ranks, empty = np.array(self.ranks, dtype=np.int64), np.array(self.lengths) == 0
        shown = {name: value for one in self.shown for name, value in one.metrics(num_courses).items()}
        return {
            **with_intervals(ranks, numbered(self.user_ids), self.seed),
            **shown,
            "tests": float(len(ranks)),
            f"recall@{TOP}_empty": metrics_of(ranks[empty])[f"recall@{TOP}"],
            f"recall@{TOP}_known": metrics_of(ranks[~empty])[f"recall@{TOP}"],
            "tests_empty": float(empty.sum()),
        }

    def curve(self) -> list[float]:
        """Return recall@10 in `WINDOWS` stretches of tests, oldest first."""
        parts = np.array_split(np.array(self.ranks, dtype=np.int64), WINDOWS)
        return [metrics_of(part)[f"recall@{TOP}"] for part in parts if len(part)]

    def bucket(self, name: str) -> Metrics:
        """Return the metrics over the tests of one bucket; nothing if it has none."""
        lengths = np.array(self.lengths)
        least, most = LENGTHS.get(name, (0, 0))
        mask = np.array(self.new) if name == NEW else (lengths >= least) & (lengths <= most)
        if not mask.any():
            return {}
        ranks = np.array(self.ranks, dtype=np.int64)[mask]
        owners = numbered(np.array(self.user_ids)[mask].tolist())
        return {**with_intervals(ranks, owners, self.seed), "tests": float(len(ranks))}


def buckets(boards: Mapping[str, Scoreboard]) -> Buckets:
    """Return how the models do on the same tests, by length of history and for new courses; no empty buckets."""
    found = {name: {model: board.bucket(name) for model, board in boards.items()} for name in (*LENGTHS, NEW)}
    return {name: by_model for name, by_model in found.items() if any(by_model.values())}
