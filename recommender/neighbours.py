"""Item-item scores: each course's nearest courses, and what a history adds up to over them."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recommender.model import Floats, Integers, Rows
from recommender.tower import Histories

NEGLIGIBLE: Final = 1e-3
"""Entries that have decayed below this share of their weight no longer count."""


def lasting(histories: Histories, decay: float) -> NDArray[np.bool_]:
    """Return which entries have not become negligible, (E,)."""
    mask: NDArray[np.bool_] = np.power(decay, histories.ages, dtype=np.float64) >= NEGLIGIBLE
    return mask


def decayed(histories: Histories, decay: float) -> Histories:
    """Return the histories with weights `w * decay ** age`, without what has become negligible."""
    factors = np.power(decay, histories.ages, dtype=np.float64)
    weights = (histories.weights * factors).astype(np.float32)
    faded = Histories(histories.starts, histories.courses, weights, histories.positions)
    return faded.keep(lasting(histories, decay))


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
        shape = (len(histories), len(self))
        cells = histories.owners[:, None] * shape[1] + self.indices[histories.courses]  # (E, m)
        values = self.weights[histories.courses] * histories.weights[:, None]
        total = np.bincount(cells.ravel(), values.ravel(), shape[0] * shape[1])
        return total.astype(np.float32).reshape(shape)

    def contributions(self, histories: Histories, slots: NDArray[np.int16], width: int) -> Floats:
        """Return what each entry adds to each chosen course of its learner, (E, width).

        `slots`, (B, N): the place of a course among the learner's chosen ones, or -1.
        """
        place = slots[histories.owners[:, None], self.indices[histories.courses]]  # (E, m)
        values = self.weights[histories.courses] * histories.weights[:, None]
        table = np.zeros((len(histories.courses), width + 1), dtype=np.float32)
        table[np.arange(len(table))[:, None], place] = values  # -1: the last column, cut off
        return table[:, :width]
