"""iALS: weighted matrix factorisation by alternating least squares (Hu et al., ICDM 2008).

With the regularisation of Rendle et al., Revisiting the performance of iALS on item recommendation benchmarks, RecSys
2022, which grows with the number of courses a learner took. The library for it, `implicit`, has one for all, and warns
unless BLAS has one thread.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy.linalg.lapack import dposv
from scipy.sparse import csr_array

from recommender.history import Learner
from recommender.model import Floats
from trainer.baseline import Arrays, Baseline, cosines
from trainer.known import Known

DIMENSIONS: Final = 128
EPOCHS: Final = 12
REGULARISATION: Final = 0.007
UNOBSERVED: Final = 0.3
"""Weight of a course that was not taken, beside 1 of one that was."""
DEVIATION: Final = 0.1
"""Of the first vectors' lengths."""


def solve(taken: csr_array, others: Floats) -> Floats:
    """Return the vectors of B rows that explain best what was taken, given those of the n columns, (B, d).

    Row u minimises `sum_taken (1 - p.q)^2 + w sum_all (p.q)^2 + r (count + w n) |p|^2`; the vector of no course is 0.

    >>> solve(csr_array(np.array([[1.0, 0.0]])), np.array([[1.0], [1.0]], dtype=np.float32)).round(3)
    array([[0.621]], dtype=float32)
    """
    size, d = others.shape
    columns = others.astype(np.float64)
    everything = UNOBSERVED * columns.T @ columns  # (d, d)
    vectors = np.zeros((taken.shape[0], d), dtype=np.float32)
    for row in np.flatnonzero(np.diff(taken.indptr)).tolist():
        own = columns[taken.indices[taken.indptr[row] : taken.indptr[row + 1]]]  # (count, d)
        gram = everything + own.T @ own
        gram[np.diag_indices(d)] += REGULARISATION * (len(own) + UNOBSERVED * size)
        vectors[row] = dposv(gram, own.sum(axis=0), lower=1, overwrite_a=1)[1]
    return vectors


class IALS(Baseline):
    """Courses' vectors; a learner's is solved for anew from his history, exactly as in the fit."""

    def train(self, known: Known) -> Arrays:
        """Return the courses' vectors, (n, d)."""
        taken = known.interactions.taken_before(known.until_us)
        takers = taken.T.tocsr()
        shape = taken.shape[1], min(DIMENSIONS, *taken.shape)
        courses = np.random.default_rng(known.seed).normal(0.0, DEVIATION / np.sqrt(shape[1]), shape)
        vectors = courses.astype(np.float32)
        for _ in range(EPOCHS):
            vectors = solve(takers, solve(taken, vectors))
        return {"courses": vectors}

    def score(self, learners: Sequence[Learner]) -> Floats:
        """Return the products of the learners' and the courses' vectors, (B, n)."""
        courses: Floats = self.arrays["courses"]
        found: Floats = solve(self.taken(learners), courses) @ courses.T
        return found

    def alike(self, course: int) -> Floats:
        """Return the cosines of the courses' vectors to one, (n,)."""
        return cosines(self.arrays["courses"], course)
