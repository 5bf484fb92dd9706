"""PureSVD (Cremonesi et al., RecSys 2010): the history projected onto the main directions of who took what."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from scipy.sparse import csr_array
from sklearn.utils.extmath import randomized_svd

from recommender.history import Learner
from recommender.model import Floats
from trainer.baseline import Arrays, Baseline, cosines, validated
from trainer.known import Known

DIMENSIONS: Final = (2, 4, 8, 16, 32, 64, 128)
"""Tried on the validation."""

_NEGLIGIBLE: Final = 1e-3
"""Directions that nobody's courses lie in are arbitrary."""


def components_of(taken: csr_array, most: int, seed: int) -> Floats:
    """Return the at most `most` main directions of (learners, n), V^T, (d, n), the largest first.

    By what scikit-learn's `TruncatedSVD` calls: the class itself divides by the variance, which may be 0.
    """
    dimensions = max(1, min(most, *(size - 1 for size in taken.shape)))
    _, lengths, components = randomized_svd(taken.astype(np.float32), dimensions, random_state=seed % 2**32)
    return np.ascontiguousarray(components[lengths > _NEGLIGIBLE], dtype=np.float32)


class PureSVD(Baseline):
    """`x V V^T` of a history x: there is no learner's vector, so any history can be folded in."""

    def train(self, known: Known) -> Arrays:
        """Return V^T, (d, n), with the number of dimensions that suits the validation."""
        interactions, most = known.interactions, max(DIMENSIONS)
        early = components_of(interactions.taken_before(known.validation_us), most, known.seed)
        gains = [validated(PureSVD(), {"components": early[:dimensions]}, known) for dimensions in DIMENSIONS]
        best = DIMENSIONS[int(np.argmax(gains))]
        return {"components": components_of(interactions.taken_before(known.until_us), best, known.seed)}

    def score(self, learners: Sequence[Learner]) -> Floats:
        """Return the reconstructed histories, (B, n)."""
        components = self.arrays["components"]
        found: Floats = (self.taken(learners) @ components.T) @ components
        return found

    def alike(self, course: int) -> Floats:
        """Return the cosines of the courses' vectors to one, (n,)."""
        return cosines(self.arrays["components"].T, course)
