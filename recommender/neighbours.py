"""Item-item scores: each course's nearest courses, and what a history adds up to over them."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recommender.model import Floats, Integers, Rows
from recommender.scores import Named
from recommender.tower import Histories

NEGLIGIBLE: Final = 1e-3
"""Entries that have decayed below this share of their weight no longer count."""

_CHUNK: Final = 8
"""Learners at a time: the neighbours of their entries fit into the cache."""

Places = NDArray[np.int64]


def fading(decay: float, ages: Places) -> NDArray[np.float64]:
    """Return `decay ** age`, 0 where that is negligible."""
    factors = np.power(decay, ages, dtype=np.float64)
    return np.where(factors >= NEGLIGIBLE, factors, 0.0)


def decayed(histories: Histories, decay: float) -> Histories:
    """Return the histories with weights `w * decay ** age`, without what has become negligible."""
    factors = fading(decay, histories.ages)
    weights = (histories.weights * factors).astype(np.float32)
    return Histories(histories.starts, histories.courses, weights, histories.positions).keep(factors > 0)


@dataclass(frozen=True, eq=False)
class Neighbours:
    """At most m neighbours of each of N courses; unused places hold the course itself with weight 0."""

    indices: Integers  # (N, m)
    weights: Floats  # (N, m)

    @classmethod
    def from_rows(cls, rows: Rows, size: int) -> "Neighbours":
        """Return the neighbours that sparse rows hold, for `size` >= len(rows) courses; the later have none."""
        counts = np.diff(rows.indptr)
        width = int(counts.max(initial=0))
        indices = np.repeat(np.arange(size, dtype=np.int32)[:, None], width, axis=1)
        weights = np.zeros((size, width), dtype=np.float32)
        owner = np.repeat(np.arange(len(rows)), counts)
        place = np.arange(len(rows.data)) - rows.indptr[owner]
        indices[owner, place] = rows.indices
        weights[owner, place] = np.where(rows.indices == owner, 0.0, rows.data)
        return cls(indices, weights)

    def __len__(self) -> int:
        return len(self.indices)

    def scores(self, histories: Histories) -> Floats:
        """Return what each history adds up to for each course, (B, N)."""
        size, width = len(histories), self.indices.shape[1]
        scores = np.empty((size, len(self)), dtype=np.float32)
        for first in range(0, size, _CHUNK):
            starts = histories.starts[first : first + _CHUNK + 1]
            part = slice(starts[0], starts[-1])
            courses = histories.courses[part]
            weights, indices = self.weights.take(courses, axis=0), self.indices.take(courses, axis=0)  # (E, m)
            weights *= histories.weights[part, None]
            bounds = ((starts - starts[0]) * width).astype(np.int32)
            shape = (len(starts) - 1, len(self))
            rows = sparse.csr_array((weights.ravel(), indices.ravel(), bounds), shape=shape)
            rows.toarray(out=scores[first : first + _CHUNK])  # a course that stands in a row twice is added up
        return scores

    def named(self, histories: Histories) -> Named:
        """Return the same of a large catalogue: the scores of the courses that are neighbours."""
        cells = histories.owners[:, None] * len(self) + self.indices.take(histories.courses, axis=0)  # (E, m)
        values = self.weights.take(histories.courses, axis=0) * histories.weights[:, None]
        return Named.of(cells.ravel(), values.ravel())

    def near(self, courses: Places, listed: Places) -> Floats:
        """Return the weight of each listed course, (B, L), as a neighbour of each course, (B, H), as (B, H, L).

        A place in `listed` that holds none, -1, has no meaning.
        """
        height, width = courses.shape[1], listed.shape[1] + 1  # the last place is for what is not listed
        table = np.zeros((len(courses), height * width), dtype=np.float32)
        place_of = np.full(len(self) + 1, width - 1)  # of a course; the last is for -1
        places, starts = np.arange(width - 1), np.arange(height)[:, None] * width
        for own, wanted, flat in zip(courses, listed, table, strict=True):
            place_of[wanted] = places
            cells = place_of.take(self.indices.take(own, axis=0))  # (H, m)
            cells += starts
            flat[cells] = self.weights.take(own, axis=0)
            place_of[wanted] = width - 1
        return table.reshape(-1, height, width)[:, :, :-1]
