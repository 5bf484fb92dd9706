"""EASE: item-item weights in closed form, after Steck, Embarrassingly Shallow Autoencoders, WWW 2019."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotri
from scipy.sparse import csr_array

from recommender.model import Rows
from schemas.errors import NotReadyError

_CHUNK: Final = 512


def ridge_of(pairs: int) -> float:
    """Return the penalty that suits so many pairs taken: what was best for 15 thousand, growing as their root.

    >>> round(ridge_of(15_000)), round(ridge_of(1_000_000))
    (49, 400)
    """
    return max(1.0, 0.4 * float(np.sqrt(pairs)))


def ease_weights(taken: csr_array, ridge: float) -> NDArray[np.float64]:
    """Return B of `min |X - XB|^2 + ridge |B|^2` with a diagonal of 0, (m, m).

    >>> together = csr_array(np.array([[1.0, 1.0], [1.0, 1.0]]))
    >>> ease_weights(together, 2.0).round(6).tolist()
    [[0.0, 0.5], [0.5, 0.0]]
    """
    weights = _inverse((taken.T @ taken).toarray() + ridge * np.eye(taken.shape[1]))
    weights /= -np.diag(weights).copy()
    weights[np.diag_indices_from(weights)] = 0.0
    return weights


def _inverse(gram: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inverse of a positive definite matrix, by a third of the work of solving for the identity."""
    factor, failed = dpotrf(gram, lower=1, overwrite_a=1)
    inverse, singular = dpotri(factor, lower=1, overwrite_c=1)
    if failed or singular:
        raise NotReadyError("the courses taken make a singular matrix: raise EASE_LAMBDA")
    lower: NDArray[np.float64] = np.tril(inverse, -1)
    lower += np.tril(inverse).T
    return lower


def largest(weights: NDArray[np.float64], chosen: NDArray[np.int64], num_courses: int, neighbours: int) -> Rows:
    """Return the `neighbours` largest weights a row, by absolute value, as sparse rows over all courses.

    `chosen[i]` is the course of row i, (m,).
    """
    parts = [_largest_columns(weights[start : start + _CHUNK], neighbours) for start in range(0, len(chosen), _CHUNK)]
    kept = np.concatenate(parts)  # (m, count)
    values = np.take_along_axis(weights, kept, axis=1).astype(np.float32)
    present = values != 0
    counts = np.zeros(num_courses, dtype=np.int64)
    counts[chosen] = present.sum(axis=1)
    indptr = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return Rows(indptr, chosen[kept][present].astype(np.int32), values[present], num_courses)


def _largest_columns(weights: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return the columns of the largest absolute weights a row, ascending; ties go to the first column."""
    keys = -np.round(np.abs(weights), 12)  # rounded, so that ties do not hang on the last bit
    return np.sort(np.argsort(keys, axis=1, kind="stable")[:, :count], axis=1)
