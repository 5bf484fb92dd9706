"""iALS: weighted matrix factorisation by alternating least squares (Hu et al., ICDM 2008).

With the regularisation of Rendle et al., Revisiting the performance of iALS on item recommendation benchmarks, RecSys
2022, which grows with the number of courses a learner took. The library for it, `implicit`, has one for all, and warns
unless BLAS has one thread.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dposv
from scipy.sparse import csr_array

from recommender.history import Learner
from recommender.model import Floats
from trainer.baseline import Arrays, Baseline, cosines, validated
from trainer.known import Known

DIMENSIONS: Final = 128
EPOCHS: Final = 12
DEVIATION: Final = 0.1
"""Of the first vectors' lengths."""


class Weights(NamedTuple):
    """What counts beside 1 for a course that was taken."""

    unobserved: float  # of a course that was not taken
    regularisation: float


WEIGHTS: Final = (Weights(0.3, 0.007), Weights(0.007, 0.02))
"""Tried on the validation: what the paper found for MovieLens, where much is taken, and for Pinterest."""


def solve(taken: csr_array, others: Floats, weights: Weights) -> Floats:
    """Return the vectors of B rows that explain best what was taken, given those of the n columns, (B, d).

    Row u minimises `sum_taken (1 - p.q)^2 + w sum_all (p.q)^2 + r (count + w n) |p|^2`; the vector of no course is 0.

    >>> solve(csr_array(np.array([[1.0, 0.0]])), np.array([[1.0], [1.0]], dtype=np.float32), WEIGHTS[0]).round(3)
    array([[0.621]], dtype=float32)
    """
    (size, d), (unobserved, ridge) = others.shape, weights
    columns = others.astype(np.float64)
    everything = unobserved * columns.T @ columns  # (d, d)
    vectors = np.zeros((taken.shape[0], d), dtype=np.float32)
    for row in np.flatnonzero(np.diff(taken.indptr)).tolist():
        own = columns[taken.indices[taken.indptr[row] : taken.indptr[row + 1]]]  # (count, d)
        gram = everything + own.T @ own
        gram[np.diag_indices(d)] += ridge * (len(own) + unobserved * size)
        vectors[row] = dposv(gram, own.sum(axis=0), lower=1, overwrite_a=1)[1]
    return vectors


def fit_ials(taken: csr_array, weights: Weights, seed: int) -> dict[str, NDArray[np.generic]]:
    """Return the courses' vectors, (n, d), and the weights they go with."""
    takers, dimensions = taken.T.tocsr(), min(DIMENSIONS, *taken.shape)
    first = np.random.default_rng(seed).normal(0.0, DEVIATION / np.sqrt(dimensions), (taken.shape[1], dimensions))
    courses = first.astype(np.float32)
    for _ in range(EPOCHS):
        courses = solve(takers, solve(taken, courses, weights), weights)
    return {"courses": courses, "weights": np.array(weights)}


class IALS(Baseline):
    """Courses' vectors; a learner's is solved for anew from his history, exactly as in the fit."""

    def train(self, known: Known) -> Arrays:
        """Return the courses' vectors, with the weights that suit the validation."""
        early, taken = (known.interactions.taken_before(one) for one in known.split)
        gains = [validated(IALS(), fit_ials(early, weights, known.seed), known) for weights in WEIGHTS]
        return fit_ials(taken, WEIGHTS[int(np.argmax(gains))], known.seed)

    def score(self, learners: Sequence[Learner]) -> Floats:
        """Return the products of the learners' and the courses' vectors, (B, n)."""
        courses: Floats = self.arrays["courses"]
        found: Floats = solve(self.taken(learners), courses, Weights(*self.arrays["weights"].tolist())) @ courses.T
        return found

    def alike(self, course: int) -> Floats:
        """Return the cosines of the courses' vectors to one, (n,)."""
        return cosines(self.arrays["courses"], course)
