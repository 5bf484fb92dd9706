"""EASE: item-item weights in closed form, after Steck, Embarrassingly Shallow Autoencoders, WWW 2019."""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dpotrf, dpotri
from scipy.sparse import csr_array

from recommender.model import Floats, Rows
from schemas.errors import NotReadyError
from trainer.low_rank import Doubles, LowRank, Weights, inverse_of, product_with

_POWERS: Final = 20
"""Power iterations for one eigenvalue, which then is too small by less than `_CAUTION` allows for."""

_CAUTION: Final = 1.1
_STRETCH: Final = 32
_TIE: Final = 1e-14
"""What a column weighs in a tie of weights."""


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


def low_rank_ease_weights(taken: csr_array, ridge: float, rank: int, seed: int) -> Weights:
    """Return about the same for any number of courses, from the inverse P of low rank that `inverse_of` returns.

    What few learners took is not in a low rank, so a step of Newton and Schulz looks at what really was taken:
    `P + t (P - P K P)`, for `K = X'X + ridge`. With e = s / ridge < 1, s the first dropped eigenvalue, an element of
    the inverse is then wrong by at most `d = 1.5 e^2 / ridge`, and a weight b towards a course whose element on the
    diagonal of the inverse is c by at most `d (1 + |b|) / (c - d)`.
    """
    low = inverse_of(taken, ridge, rank, seed)
    scale, vectors, core = low
    images = product_with(taken, taken, vectors) + ridge * vectors  # K F, (n, r)
    step = _step(low, taken, ridge)
    own = vectors @ ((1.0 + step) * core + step * core @ (vectors.T @ images) @ core)
    cross = step * scale[:, None] * images @ core
    left, right = np.hstack([cross - own, vectors]), np.hstack([vectors, cross])
    popularity = np.asarray(taken.sum(axis=0)).ravel()
    diagonal = (1.0 + step) * scale - step * np.square(scale) * (popularity + ridge) + (left * right).sum(axis=1)
    by_course = scale[None, :], (step * scale / diagonal)[None, :]
    return Weights.of(left, right / -diagonal[:, None], *(taken.multiply(one).tocsr() for one in by_course))


def _step(low: LowRank, taken: csr_array, ridge: float) -> float:
    """Return t of the Newton step: with g, the largest eigenvalue of P K - 1, what makes the error there g^2 / (2 + g).

    A step of 1 / g or more would leave P no longer positive definite.
    """
    image, growth = np.ones((taken.shape[1], 1)), 1.0
    for _ in range(_POWERS):
        image = low @ (product_with(taken, taken, image) + ridge * image)
        growth = float(np.linalg.norm(image))
        image /= growth
    excess = max(growth - 1.0, 0.0)
    return 2.0 / max(2.0 + excess, 2.0 * _CAUTION * excess)


def largest(blocks: Iterable[Doubles | Floats], num_courses: int, neighbours: int) -> Rows:
    """Return the `neighbours` largest weights a row, by absolute value, of n rows in blocks of some, (b, n)."""
    counts, columns, values = [np.zeros(1, np.int64)], [], []
    for weights in blocks:
        kept = _largest_columns(weights, min(neighbours, num_courses))
        found = np.take_along_axis(weights, kept, axis=1).astype(np.float32)
        present = found != 0
        counts.append(present.sum(axis=1))
        columns.append(kept[present].astype(np.int32))
        values.append(found[present])
    return Rows(np.cumsum(np.concatenate(counts)), np.concatenate(columns), np.concatenate(values), num_courses)


def _largest_columns(weights: Doubles | Floats, count: int) -> NDArray[np.int64]:
    """Return the columns of the largest absolute weights a row, ascending; ties go to the first column."""
    columns = _promising(weights, count)
    chosen = _first(np.abs(np.take_along_axis(weights, columns, axis=1)), columns, count)
    return np.sort(np.take_along_axis(columns, chosen, axis=1), axis=1)


def _promising(weights: Doubles | Floats, count: int) -> NDArray[np.int64]:
    """Return columns with the `count` largest among them, (b, m): the `count` stretches whose largest are largest."""
    size, width = weights.shape
    stretches = width // _STRETCH
    if stretches <= count:
        return np.broadcast_to(np.arange(width), weights.shape)
    whole = weights[:, : stretches * _STRETCH].reshape(size, stretches, _STRETCH)
    peaks = np.maximum(whole.max(axis=2), -whole.min(axis=2))  # (b, stretches)
    begins = _first(peaks, np.broadcast_to(np.arange(stretches), peaks.shape), count) * _STRETCH
    columns = (begins[:, :, None] + np.arange(_STRETCH)).reshape(size, -1)
    rest = np.arange(stretches * _STRETCH, width)
    return np.hstack([columns, np.broadcast_to(rest, (size, len(rest)))])


def _first(sizes: Doubles | Floats, columns: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return the places of the `count` largest a row, in no order; no two keys are alike, so there are no ties."""
    keys = columns * _TIE - np.round(sizes.astype(np.float64), 12)
    return np.argpartition(keys, count - 1, axis=1)[:, :count]
