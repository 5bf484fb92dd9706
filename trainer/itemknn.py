"""Item-kNN: courses are alike as the same learners took them (Sarwar et al., WWW 2001)."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy.sparse import csr_array
from sklearn.preprocessing import normalize

from recommender.content import nearest
from recommender.history import Learner
from recommender.model import Floats, Rows
from trainer.baseline import Arrays, Baseline
from trainer.known import Known

NEIGHBOURS: Final = 200


class ItemKNN(Baseline):
    """The sum of cosines to the courses of the history, each course with its `NEIGHBOURS` nearest."""

    def train(self, known: Known) -> Arrays:
        """Return the neighbours of each course and their cosines, (n, k) each."""
        takers = normalize(
            known.interactions.taken_before(known.until_us).astype(np.float32).T.tocsr()
        )  # (n, learners)
        takers.sort_indices()
        rows = Rows(takers.indptr.astype(np.int64), takers.indices.astype(np.int32), takers.data, takers.shape[1])
        found = nearest(rows, count=NEIGHBOURS)
        return {"neighbours": found.indices, "cosines": found.weights}

    def _cosines(self) -> csr_array:
        """Return the cosines as sparse rows, (n, n)."""
        n, k = self.arrays["neighbours"].shape
        starts = np.arange(0, n * k + 1, k) if k else np.zeros(n + 1, np.int64)
        return csr_array((self.arrays["cosines"].ravel(), self.arrays["neighbours"].ravel(), starts), shape=(n, n))

    def score(self, learners: Sequence[Learner]) -> Floats:
        """Return the sums of cosines, (B, n)."""
        found: Floats = (self.taken(learners) @ self._cosines()).toarray()
        return found

    def alike(self, course: int) -> Floats:
        """Return the cosines to one course, (n,)."""
        found: Floats = self._cosines()[[course]].toarray()[0]
        return found
