"""Full NeuMF (He et al. 2017) in NumPy: the logit of learner-course pairs.

    logit = gmf_out . (p_gmf * q_gmf) + mlp_out . MLP([p_mlp; q_mlp]) + bias

The first layer is split: the courses' half is computed once a model, the learners' half once a batch. What pairs of one
learner share goes through the layers by itself, since relu(x + c) = max(x, -c) + c: `Floors` are the -c.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from recommender.model import Floats, NeuMF
from recommender.tower import Vectors

_CHUNK: Final = 512
"""Pairs at a time: their hidden layers fit into the cache."""

Indices = NDArray[np.int64]
Floors = tuple[Floats, Floats, Floats, Floats]
"""Of learners: (..., 128), (..., 64), (..., 32) and (...,)."""


class Scorer:
    """Logits of one NeuMF."""

    def __init__(self, neumf: NeuMF) -> None:
        self._neumf = neumf
        self._course_half: Floats = neumf.mlp_course @ neumf.w1_course + neumf.b1  # (n, 128)
        self._no_learner = self._floors(np.zeros(neumf.b1.shape, dtype=np.float32))
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
        deep, floors = np.empty(len(rows), dtype=np.float32), self._floors(self.learner_half(mlp))
        bounds = np.searchsorted(rows, np.arange(len(mlp) + 1)).tolist()
        for row, own in enumerate(zip(*floors, strict=True)):
            for start in range(bounds[row], bounds[row + 1], _CHUNK):
                part = slice(start, min(start + _CHUNK, bounds[row + 1]))
                deep[part] = self._deep(self._course_half.take(courses[part], axis=0), own)
        return deep

    def deep(self, halves: Floats, rows: Indices, courses: Indices) -> Floats:
        """Return the MLP's part of the logit of pairs (half `rows[i]`, course `courses[i]`), (P,)."""
        result = np.empty(len(courses), dtype=np.float32)
        for start in range(0, len(courses), _CHUNK):
            part = slice(start, start + _CHUNK)
            hidden = self._course_half.take(courses[part], axis=0)
            hidden += halves.take(rows[part], axis=0)
            result[part] = self._deep(hidden, self._no_learner)
        return result

    def _floors(self, halves: Floats) -> Floors:
        net, first = self._neumf, -halves
        second: Floats = first @ net.w2 - net.b2
        third: Floats = second @ net.w3 - net.b3
        return first, second, third, third @ net.mlp_out

    def _deep(self, hidden: Floats, floors: Floors) -> Floats:
        """Return the MLP's part, (P,), of the sums of a first layer, (P, 128), which are overwritten."""
        net, (first, second, third, last) = self._neumf, floors
        for weights, floor in ((net.w2, first), (net.w3, second), (net.mlp_out, third)):
            hidden = np.maximum(hidden, floor, out=hidden) @ weights
        return hidden - last
