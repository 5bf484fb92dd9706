"""Full NeuMF (He et al. 2017) in NumPy: the logit of learner-course pairs.

    logit = gmf_out . (p_gmf * q_gmf) + mlp_out . MLP([p_mlp; q_mlp]) + bias

The first layer is split: the courses' half is computed once a model, the learners' half once a batch.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from recommender.model import Floats, NeuMF
from recommender.tower import Vectors

_CHUNK: Final = 2_048
"""Pairs at a time: their hidden layers fit into the cache."""

Indices = NDArray[np.int64]


class Scorer:
    """Logits of one NeuMF."""

    def __init__(self, neumf: NeuMF) -> None:
        self._neumf = neumf
        self._course_half: Floats = neumf.mlp_course @ neumf.w1_course + neumf.b1  # (n, 128)
        self.gmf_course: Floats = neumf.gmf_course * neumf.gmf_out  # (n, d)

    def logits(self, vectors: Vectors, rows: Indices, courses: Indices) -> Floats:
        """Return the logit of each pair (learner `rows[i]`, course `courses[i]`), (P,)."""
        learner_half = vectors.mlp @ self._neumf.w1_learner  # (B, 128)
        result = np.empty(len(rows), dtype=np.float32)
        for start in range(0, len(rows), _CHUNK):
            part = slice(start, start + _CHUNK)
            row, course = rows[part], courses[part]
            gmf = np.einsum("pd,pd->p", vectors.gmf[row], self.gmf_course[course])
            hidden = learner_half[row] + self._course_half[course]  # (P, 128)
            result[part] = gmf + self._deep(hidden) + self._neumf.bias[course]
        return result

    def _deep(self, hidden: Floats) -> Floats:
        net = self._neumf
        np.maximum(hidden, 0, out=hidden)
        for weights, offset in ((net.w2, net.b2), (net.w3, net.b3)):
            hidden = hidden @ weights + offset
            np.maximum(hidden, 0, out=hidden)
        scores: Floats = hidden @ net.mlp_out
        return scores
