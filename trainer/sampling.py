"""Negatives: courses a learner has never taken, drawn for whole batches at once."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

_ROUNDS = 8

Cells = NDArray[np.int64]
"""Places in a table of B rows, `row * columns + column`."""


class Taken(NamedTuple):
    """What the learners of B rows have ever taken, as cells of (B, n), ascending: a table would be mostly empty."""

    cells: Cells
    rows: int
    num_courses: int

    @classmethod
    def of(cls, taken: csr_array, learners: NDArray[np.int64]) -> "Taken":
        """Return what these learners have taken; `taken` is (learners, n), sorted."""
        own, n = taken[learners], taken.shape[1]
        rows = np.repeat(np.arange(len(learners)), np.diff(own.indptr))
        return cls(rows * n + own.indices, len(learners), n)

    def holds(self, courses: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return whether the learner of the row has taken each of these courses, (B, P)."""
        wanted = np.arange(self.rows)[:, None] * self.num_courses + courses
        return self._places(wanted)[1]

    def but(self, courses: NDArray[np.int64]) -> "Taken":
        """Return the same without one course a row, (B,)."""
        places, found = self._places(np.arange(self.rows) * self.num_courses + courses)
        return self._replace(cells=np.delete(self.cells, places[found]))

    def _places(self, wanted: Cells) -> tuple[Cells, NDArray[np.bool_]]:
        """Return where each of these cells stands among those taken, and whether it is there at all."""
        places = np.searchsorted(self.cells, wanted)
        if not len(self.cells):
            return places, np.zeros(wanted.shape, dtype=np.bool_)
        return places, self.cells[np.minimum(places, len(self.cells) - 1)] == wanted

    def among(self, courses: NDArray[np.int64]) -> "Taken":
        """Return the same over the columns that these S different courses make, (B, S)."""
        column = np.full(self.num_courses, -1)
        column[courses] = np.arange(len(courses))
        rows, columns = self.cells // self.num_courses, column[self.cells % self.num_courses]
        return Taken((rows * len(courses) + columns)[columns >= 0], self.rows, len(courses))


def draw_negatives(taken: Taken, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return (B, count) courses, uniform over those that the learner of the row has not taken.

    Drawn again where a taken course came up; who collides `_ROUNDS` times is drawn for alone.
    Raises ValueError if a learner has taken every course.
    """
    n = taken.num_courses
    drawn = rng.integers(n, size=(taken.rows, count))
    for _ in range(_ROUNDS):
        wrong = taken.holds(drawn)
        if not wrong.any():
            return drawn
        drawn[wrong] = rng.integers(n, size=int(wrong.sum()))
    for row in np.flatnonzero(taken.holds(drawn).any(axis=1)).tolist():
        first, last = np.searchsorted(taken.cells, (row * n, (row + 1) * n))
        left = np.delete(np.arange(n), taken.cells[first:last] - row * n)
        if left.size == 0:
            raise ValueError("a learner has taken every course: there is no negative to draw")
        drawn[row] = rng.choice(left, size=count)
    return drawn


def draw_rivals(num_courses: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return up to `count` different courses, the rivals that a batch shares; all of them if they are few."""
    if count >= num_courses:
        return np.arange(num_courses)
    return rng.choice(num_courses, size=count, replace=False)
