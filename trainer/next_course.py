"""What follows what: ridge regression from the decayed history to the course that a learner enrolled in next.

EASE knows which courses are taken by the same learners, in whatever order; this knows the order. Both are linear in the
decayed history, so their weights add up to one item-item matrix, and serving the two costs what serving one does.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg.lapack import dposv
from scipy.sparse import csr_array

from recommender.neighbours import decayed
from recommender.tower import Histories
from schemas.errors import NotReadyError


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
    size, num_courses = before.shape
    followed = sparse.csr_array((np.ones(size), (np.arange(size), courses)), shape=(size, num_courses))
    gram = (before.T @ before).toarray() + ridge * np.eye(num_courses)
    _, weights, failed = dposv(gram, (before.T @ followed).toarray(), lower=1, overwrite_a=1, overwrite_b=1)
    if failed:
        raise NotReadyError("the histories make a singular matrix: raise EASE_LAMBDA")
    solved: NDArray[np.float64] = weights
    return solved
