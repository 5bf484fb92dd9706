"""The inverse of `K = X'X + ridge`, (n, n), for more courses than a matrix of their square has room for.

X'X is taken for `L L' + D`: a factor of low rank, (n, r), and the diagonal that it leaves open. The inverse of that is
a diagonal less a low rank (Woodbury). Memory is linear in courses: no matrix here is larger than (n, 2 r).
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.sparse import csr_array

from recommender.model import Floats

Doubles = NDArray[np.float64]

_SWEEPS: Final = 4
"""Power iterations; after them the factor was at most a fifth worse than the best of its rank."""

_LEARNERS: Final = 100_000
"""Rows of X at a time: bounds what is as large as (learners, r)."""

_SHIFT: Final = 1e-12
"""Of the trace: keeps a factor real where the courses taken are fewer than r."""


class LowRank(NamedTuple):
    """The matrix `diag(scale) - vectors core vectors'`, (n, n), symmetric."""

    scale: Doubles  # (n,)
    vectors: Doubles  # (n, r)
    core: Doubles  # (r, r)

    def __matmul__(self, right: Doubles) -> Doubles:
        """Return the product with a matrix, (n, k)."""
        found: Doubles = self.scale[:, None] * right - self.vectors @ (self.core @ (self.vectors.T @ right))
        return found


class Weights(NamedTuple):
    """Item-item weights, (n, n), of which some rows at a time are written down: `left right' + first second`."""

    left: Floats  # (n, k)
    right: Floats  # (n, k)
    first: csr_array  # (n, learners)
    second: csr_array  # (learners, n)

    @classmethod
    def of(cls, left: Doubles, right: Doubles, first: csr_array, second: csr_array) -> "Weights":
        """Return the weights of these factors, `first` by learners, as float32."""
        by_course = first.T.tocsr()
        factors = left.astype(np.float32), right.astype(np.float32)
        return cls(*factors, by_course.astype(np.float32), second.astype(np.float32))

    def rows(self, part: slice) -> Floats:
        """Return these rows, (b, n); what stands on the diagonal means nothing."""
        found: Floats = (self.first[part] @ self.second).toarray()
        found += self.left[part] @ self.right.T
        return found


def product_with(first: csr_array, second: csr_array, right: Doubles) -> Doubles:
    """Return `first' second right`, (n, k), for two matrices of (learners, n).

    >>> rows = csr_array(np.array([[1.0, 2.0]]))
    >>> product_with(rows, rows, np.eye(2)).tolist()
    [[1.0, 2.0], [2.0, 4.0]]
    """
    found = np.zeros_like(right)
    for start in range(0, first.shape[0], _LEARNERS):
        part = slice(start, start + _LEARNERS)
        found += first[part].T @ (second[part] @ right)
    return found


def factor_of(rows: csr_array, rank: int, seed: int) -> Doubles:
    """Return L, (n, r): `L L'` is the Nystrom approximation of X'X, never above it.

    By randomised subspace iteration (Halko et al., 2011), so the norm of `X'X - L L'` is the first dropped eigenvalue
    of X'X, the square of the singular value of X after the r largest, or little more. With r = n it is 0.
    """
    rank = min(rank, rows.shape[1])
    basis = np.random.default_rng(seed).standard_normal((rows.shape[1], rank))
    for _ in range(_SWEEPS):
        basis = np.linalg.qr(product_with(rows, rows, basis))[0]
    product = product_with(rows, rows, basis)  # (n, r)
    inner = basis.T @ product
    inner[np.diag_indices(rank)] += _SHIFT * np.trace(inner) + np.finfo(np.float64).tiny
    factor: Doubles = solve_triangular(cholesky((inner + inner.T) / 2, lower=True), product.T, lower=True).T
    return factor


def inverse_of(rows: csr_array, ridge: float, rank: int, seed: int) -> LowRank:
    """Return `(L L' + D + ridge)^-1`, where D makes the diagonal that of X'X.

    What it takes for X'X is wrong by `E = R - diag(R)`, R = X'X - L L' >= 0. So |E| is at most |R|, the first dropped
    eigenvalue s, and the inverse is wrong by at most `s / ridge^2`.
    """
    factor = factor_of(rows, rank, seed)  # (n, r)
    left_open = np.asarray(rows.power(2).sum(axis=0)).ravel() - np.square(factor).sum(axis=1)
    scale = 1.0 / (ridge + np.maximum(left_open, 0.0))
    vectors = scale[:, None] * factor
    core = np.linalg.inv(np.eye(factor.shape[1]) + factor.T @ vectors)
    return LowRank(scale, vectors, core)
