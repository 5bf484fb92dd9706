"""Item-item scores: each course's nearest courses, and what a history adds up to over them."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recommender.model import Floats, Integers, Rows
from recommender.tower import Histories

NEGLIGIBLE: Final = 1e-3
"""Entries that have decayed below this share of their weight no longer count."""

_CHUNK: Final = 256
"""Entries at a time: bounds the memory that a long history takes."""

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

    def add_scores(self, scores: Floats, histories: Histories) -> None:
        """Add what each history adds up to for each course to `scores`, (B, N), contiguous."""
        flat = scores.reshape(-1)
        for start in range(0, len(histories.courses), _CHUNK):
            part = slice(start, start + _CHUNK)
            courses = histories.courses[part]
            cells = self.indices[courses] + (histories.owners[part] * len(self))[:, None]  # (E, m)
            values = self.weights[courses] * histories.weights[part, None]
            np.add.at(flat, cells.ravel(), values.ravel())

    def hits(
        self, courses: Integers | Places, owners: Places, slots: NDArray[np.int16]
    ) -> tuple[Places, Places, Floats]:
        """Return (entry, slot, weight) wherever a chosen course is among the neighbours of an entry of its learner.

        `slots`, (B, N): the slot of a chosen course in the list of its learner, or -1.
        """
        flat, found = slots.reshape(-1), [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))]
        width = self.indices.shape[1]
        for start in range(0, len(courses) if width else 0, _CHUNK):
            part = slice(start, start + _CHUNK)
            cells = self.indices[courses[part]] + (owners[part] * len(self))[:, None]  # (E, m)
            slot = flat.take(cells.ravel())
            hit = np.flatnonzero(slot >= 0)
            entry, place = np.divmod(hit, width)
            entry += start
            found.append((entry, slot[hit].astype(np.int64), self.weights[courses[entry], place]))
        entries, chosen, weights = zip(*found, strict=True)
        return np.concatenate(entries), np.concatenate(chosen), np.concatenate(weights)
