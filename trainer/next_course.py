"""What follows what: ridge regression from the decayed history to the course that a learner enrolled in next.

EASE knows which courses are taken by the same learners, in whatever order; this knows the order. Both are linear in the
decayed history, so their weights add up to one item-item matrix, and serving the two costs what serving one does.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dposv
from scipy.sparse import csr_array

from recommender.neighbours import decayed
from recommender.tower import Histories
from schemas.errors import NotReadyError
from trainer.low_rank import Weights, inverse_of, product_with


def decayed_rows(histories: Histories, decay: float, num_courses: int) -> csr_array:
    """Return what stood in each history, weighted by `w * decay ** age`, (T, n) of float64."""
    recent = decayed(histories, decay)
    shape = len(recent), num_courses
    return csr_array((recent.weights.astype(np.float64), recent.courses, recent.starts), shape=shape)


def next_course_weights(before: csr_array, courses: NDArray[np.int64], ridge: float) -> NDArray[np.float64]:
    """Return W of `min |Y - XW|^2 + ridge |W|^2`, (m, m): row i says what course i in the history adds.

    X, (T, m), is the decayed history before each enrolment, Y its course as a row of zeros and a one.

    >>> first_then_second = csr_array(np.array([[1.0, 0.0]]))
    >>> next_course_weights(first_then_second, np.array([1]), 1.0).round(3).tolist()
    [[0.0, 0.5], [0.0, 0.0]]
    """
    followed, num_courses = _rows_of(courses, before.shape), before.shape[1]
    gram = (before.T @ before).toarray() + ridge * np.eye(num_courses)
    _, weights, failed = dposv(gram, (before.T @ followed).toarray(), lower=1, overwrite_a=1, overwrite_b=1)
    if failed:
        raise NotReadyError("the histories make a singular matrix: raise EASE_LAMBDA")
    solved: NDArray[np.float64] = weights
    return solved


def low_rank_next_course_weights(
    before: csr_array, courses: NDArray[np.int64], ridge: float, rank: int, seed: int
) -> Weights:
    """Return about the same for any number of courses: the inverse is of low rank, what it is multiplied by is whole.

    With s the first dropped eigenvalue of X'X a column is wrong by at most `s / ridge^2` of that of X'Y.
    """
    followed = _rows_of(courses, before.shape)
    scale, vectors, core = inverse_of(before, ridge, rank, seed)
    scaled = before.multiply(scale[None, :]).tocsr()
    return Weights.of(-vectors @ core, product_with(followed, before, vectors), scaled, followed)


def _rows_of(courses: NDArray[np.int64], shape: tuple[int, int]) -> csr_array:
    """Return each course as a row of zeros and a one."""
    return csr_array((np.ones(len(courses)), (np.arange(len(courses)), courses)), shape=shape)
