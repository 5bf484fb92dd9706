"""What one source says of the courses for B learners, (B, N): of all, or of a large catalogue only of those it names.

A learner's neighbours are a few thousand courses, however many there are: a table of all would be zeros.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.model import Floats

Cells = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Named:
    """The scores of the cells that are named, 0 elsewhere."""

    cells: Cells  # (P,), ascending, none twice
    values: Floats  # (P,)

    @classmethod
    def nothing(cls) -> "Named":
        """Return the scores of a source that names no course."""
        return cls(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))

    @classmethod
    def of(cls, cells: Cells, values: Floats) -> "Named":
        """Return the sums by cell of values in any order."""
        order = np.argsort(cells, kind="stable")
        cells, values = cells[order], values[order]
        starts = np.flatnonzero(np.diff(cells, prepend=-1))
        return cls(cells[starts], np.add.reduceat(values, starts) if len(starts) else values)

    def take(self, cells: Cells) -> Floats:
        """Return the scores of these cells, (P,).

        >>> Named.of(np.array([7, 2, 7]), np.array([1, 4, 2], dtype=np.float32)).take(np.array([2, 3, 7, 9])).tolist()
        [4.0, 0.0, 3.0, 0.0]
        """
        if not len(self.cells):
            return np.zeros(len(cells), dtype=np.float32)
        places = np.minimum(np.searchsorted(self.cells, cells), len(self.cells) - 1)
        return np.where(self.cells[places] == cells, self.values[places], np.float32(0))

    def __add__(self, other: "Named") -> "Named":
        return Named.of(np.concatenate([self.cells, other.cells]), np.concatenate([self.values, other.values]))

    def table(self, shape: tuple[int, int], first: int) -> Floats:
        """Return the scores of (B, N) as a table of the courses from `first` on, (B, N - first)."""
        found = np.zeros((shape[0], shape[1] - first), dtype=np.float32)
        rows, courses = np.divmod(self.cells, shape[1])
        late = courses >= first
        found[rows[late], courses[late] - first] = self.values[late]
        return found


def sum_of(one: Floats | Named, other: Floats | Named) -> Floats | Named:
    """Return the sum of two scores of one kind."""
    if isinstance(one, Named) and isinstance(other, Named):
        return one + other
    if isinstance(one, Named) or isinstance(other, Named):
        raise TypeError("scores of all courses and of those named do not stand beside each other")
    return one + other
