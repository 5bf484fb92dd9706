"""Negatives: courses a learner has never taken, drawn for whole batches at once."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

_ROUNDS = 8


def taken_rows(taken: csr_array, learners: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which courses each learner has ever taken, (B, n)."""
    return np.asarray(taken[learners].toarray(), dtype=bool)


def draw_negatives(taken: NDArray[np.bool_], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return (B, count) courses, uniform over those that the learner of the row has not taken.

    `taken` is (B, n). Drawn again where a taken course came up; who collides `_ROUNDS` times is drawn for alone.
    Raises ValueError if a learner has taken every course.
    """
    size, num_courses = taken.shape
    rows = np.arange(size)[:, None]
    drawn = rng.integers(num_courses, size=(size, count))
    for _ in range(_ROUNDS):
        wrong = taken[rows, drawn]
        if not wrong.any():
            return drawn
        drawn[wrong] = rng.integers(num_courses, size=int(wrong.sum()))
    for row in np.flatnonzero(taken[rows, drawn].any(axis=1)):
        left = np.flatnonzero(~taken[row])
        if left.size == 0:
            raise ValueError("a learner has taken every course: there is no negative to draw")
        drawn[row] = rng.choice(left, size=count)
    return drawn


def draw_rivals(num_courses: int, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return up to `count` different courses, the rivals that a batch shares; all of them if they are few."""
    if count >= num_courses:
        return np.arange(num_courses)
    return rng.choice(num_courses, size=count, replace=False)
