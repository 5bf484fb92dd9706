"""What lists show in their first places: how many courses, how little known, how alike."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csr_array

from recommender.content import Matrix
from trainer.metrics import Doubles, mean_cosines
from trainer.verdict import Metrics

Listed = Sequence[Sequence[int]]
"""Dense indices of the courses of lists, best first."""


@dataclass
class Shown:
    """Sums over the first `top` places of lists, taken in block by block."""

    top: int
    courses: set[int] = field(default_factory=set)
    places: int = 0
    bits: float = 0.0
    paired: int = 0
    cosine: float = 0.0

    def take(self, listed: Listed, information: Doubles, vectors: Matrix) -> None:
        """Take in lists; `information`, (n,): bits of each course then; `vectors`, (n, v): texts of length 1."""
        first = [one[: self.top] for one in listed]
        courses = np.array([course for one in first for course in one], dtype=np.int64)
        self.courses.update(courses.tolist())
        self.places += len(courses)
        self.bits += float(information[courses].sum())
        starts = np.cumsum([0, *map(len, first)])
        lists = csr_array((np.ones(len(courses), np.float32), courses, starts), shape=(len(first), len(information)))
        cosines = mean_cosines(lists, vectors)
        self.paired += int(np.isfinite(cosines).sum())
        self.cosine += float(np.nansum(cosines))

    def metrics(self, num_courses: int) -> Metrics:
        """Return coverage (share of all courses), novelty (mean bits) and similarity (mean cosine within a list)."""
        return {
            f"coverage@{self.top}": round(len(self.courses) / max(num_courses, 1), 6),
            f"novelty@{self.top}": round(self.bits / max(self.places, 1), 6),
            f"similarity@{self.top}": round(self.cosine / max(self.paired, 1), 6),
        }
