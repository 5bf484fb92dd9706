"""Full NeuMF (He et al. 2017) in NumPy: the logit of learner-course pairs.

    logit = gmf_out . (p_gmf * q_gmf) + mlp_out . MLP([p_mlp; q_mlp]) + bias

The first layer is split: the courses' half is computed once a model, the learners' half once a batch.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from recommender.model import Floats, NeuMF
from recommender.tower import Vectors

_CHUNK: Final = 512
"""Pairs at a time: their hidden layers fit into the cache."""

Indices = NDArray[np.int64]


class Scorer:
    """Logits of one NeuMF."""

    def __init__(self, neumf: NeuMF) -> None:
        self._neumf = neumf
        self._course_half: Floats = neumf.mlp_course @ neumf.w1_course + neumf.b1  # (n, 128)
        self.gmf_course: Floats = neumf.gmf_course * neumf.gmf_out  # (n, d)

    def learner_half(self, mlp: Floats) -> Floats:
        """Return the learners' half of the first layer, (B, 128), from their MLP vectors, (B, d)."""
        half: Floats = mlp @ self._neumf.w1_learner
        return half

    def logits(self, vectors: Vectors, rows: Indices, courses: Indices) -> Floats:
        """Return the logit of each pair (learner `rows[i]`, course `courses[i]`), (P,); `rows` ascend."""
        return self.shallow(vectors.gmf, rows, courses) + self.deep_of(vectors.mlp, rows, courses)

    def shallow(self, gmf: Floats, rows: Indices, courses: Indices) -> Floats:
        """Return what GMF and bias add to the logit of each pair, (P,)."""
        products: Floats = np.einsum("pd,pd->p", gmf[rows], self.gmf_course[courses])
        return products + self._neumf.bias[courses]

    def deep_of(self, mlp: Floats, rows: Indices, courses: Indices) -> Floats:
        """Return what the MLP adds to the logit of each pair, (P,); `rows` ascend."""
        deep, halves = np.empty(len(rows), dtype=np.float32), self.learner_half(mlp)
        bounds = np.searchsorted(rows, np.arange(len(halves) + 1)).tolist()
        for row, half in enumerate(halves):
            for start in range(bounds[row], bounds[row + 1], _CHUNK):
                part = slice(start, min(start + _CHUNK, bounds[row + 1]))
                deep[part] = self._deep(half, courses[part])
        return deep

    def deep(self, halves: Floats, courses: Indices) -> Floats:
        """Return the MLP's part of the logit of pairs, (P,), from the learners' halves, (P, 128)."""
        result = np.empty(len(courses), dtype=np.float32)
        for start in range(0, len(courses), _CHUNK):
            part = slice(start, start + _CHUNK)
            result[part] = self._deep(halves[part], courses[part])
        return result

    def _deep(self, halves: Floats, courses: Indices) -> Floats:
        net = self._neumf
        hidden = self._course_half.take(courses, axis=0)  # (P, 128)
        hidden += halves
        np.maximum(hidden, 0, out=hidden)
        for weights, offset in ((net.w2, net.b2), (net.w3, net.b3)):
            hidden = hidden @ weights
            hidden += offset
            np.maximum(hidden, 0, out=hidden)
        scores: Floats = hidden @ net.mlp_out
        return scores
