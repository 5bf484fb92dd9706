"""Item-kNN: courses are alike as the same learners took them (Sarwar et al., WWW 2001).

With what Ferrari Dacrema et al. (ACM TOIS 2021) tune to make it a baseline that is hard to beat: learners who took much
say less (TF-IDF), cosines of few learners are shrunk, and each course has neighbours of its own, or popular ones would
be everybody's. The constants are those that were best on the validation of MovieLens-1M and MARS together.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from scipy.sparse import csr_array

from recommender.history import Learner
from recommender.model import Floats
from trainer.baseline import Arrays, Baseline
from trainer.ease import largest
from trainer.known import Known

NEIGHBOURS: Final = 50
SHRINKAGE: Final = 100.0
"""Added to the product of the lengths."""

_CHUNK: Final = 512


def similarities(taken: csr_array) -> Iterator[Floats]:
    """Yield the shrunk cosines of courses by who took them, (learners, n), some rows of (n, n) at a time.

    >>> twice = np.repeat([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]], 30, axis=0)
    >>> next(similarities(csr_array(twice))).astype(float).round(2).tolist()
    [[0.0, 0.13, 0.0], [0.13, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    num_courses = taken.shape[1]
    idf = np.log1p(num_courses / (1.0 + np.asarray(taken.sum(axis=1)).ravel()))  # (learners,)
    takers = taken.astype(np.float32).multiply(idf[:, None].astype(np.float32)).T.tocsr()  # (n, learners)
    lengths = np.sqrt(np.asarray(takers.power(2).sum(axis=1)).ravel())  # (n,)
    for start in range(0, num_courses, _CHUNK):
        part = slice(start, min(start + _CHUNK, num_courses))
        shrunk: Floats = (takers[part] @ takers.T).toarray() / (np.outer(lengths[part], lengths) + SHRINKAGE)
        shrunk[np.arange(len(shrunk)), np.arange(part.start, part.stop)] = 0.0
        yield shrunk


class ItemKNN(Baseline):
    """The sum of a course's similarities to those of the history that are among its `NEIGHBOURS` nearest."""

    def train(self, known: Known) -> Arrays:
        """Return the similarities of each course to its neighbours, as sparse rows, (n, n)."""
        taken = known.interactions.taken_before(known.until_us)
        rows = largest(similarities(taken), taken.shape[1], NEIGHBOURS)
        return {"starts": rows.indptr, "neighbours": rows.indices, "similarities": rows.data}

    def _similarities(self) -> csr_array:
        n = len(self.course_ids)
        return csr_array((self.arrays["similarities"], self.arrays["neighbours"], self.arrays["starts"]), shape=(n, n))

    def score(self, learners: Sequence[Learner]) -> Floats:
        """Return the sums of similarities, (B, n)."""
        found: Floats = (self.taken(learners) @ self._similarities().T).toarray()
        return found

    def alike(self, course: int) -> Floats:
        """Return the similarities of one course, (n,)."""
        found: Floats = self._similarities()[[course]].toarray()[0]
        return found
