"""The history tower: a learner's vectors as an exact function of the history.

    s_k = sum over entries of w * g_k ** age * C[course]        age: number of later entries that the model knows
    n_k = sum over entries of |w| * g_k ** age
    p   = sum_k (s_k / n_k) @ tower[k] + empty

The same in training, evaluation, replay and serving. Courses that the model does not know are skipped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recommender.history import Learner
from recommender.model import Floats, Integers, NeuMF

Owners = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Histories:
    """Histories of B learners, one after the other, oldest entry first. E entries in all."""

    starts: NDArray[np.int64]  # (B + 1,), learner b has the entries starts[b]:starts[b + 1]
    courses: Integers  # (E,), dense course indices
    weights: Floats  # (E,)
    positions: Integers  # (E,), place of the entry among the learner's entries

    def __len__(self) -> int:
        return len(self.starts) - 1

    @cached_property
    def owners(self) -> Owners:
        """The learner of each entry, (E,)."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    @cached_property
    def ages(self) -> NDArray[np.int64]:
        """Number of later entries of the same learner, (E,)."""
        return self.starts[1:][self.owners] - 1 - np.arange(len(self.courses))

    def keep(self, mask: NDArray[np.bool_]) -> "Histories":
        """Return the histories with the entries of `mask`, (E,), alone."""
        counts = np.bincount(self.owners[mask], minlength=len(self))
        starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        return Histories(starts, self.courses[mask], self.weights[mask], self.positions[mask])


def encode(learners: Sequence[Learner], index_of: Mapping[str, int]) -> Histories:
    """Return the learners' histories over dense course indices; unknown courses and weights of 0 are skipped."""
    courses, weights, counts = [], [], []
    for learner in learners:
        courses += [index_of.get(entry[0], -1) for entry in learner.entries]
        weights += [entry[1] for entry in learner.entries]
        counts.append(len(learner.entries))
    starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    positions = np.arange(starts[-1]) - np.repeat(starts[:-1], counts)
    dense = np.array(courses, dtype=np.int32)
    whole = Histories(starts, dense, np.array(weights, dtype=np.float32), positions.astype(np.int32))
    return whole.keep((dense >= 0) & (whole.weights != 0))


def faded(decays: Floats, histories: Histories) -> NDArray[np.float64]:
    """Return `w * g_k ** age` of each entry at each decay rate, (E, K)."""
    longest = int(histories.ages.max(initial=0)) + 1
    powers = np.power(decays.astype(np.float64), np.arange(longest)[:, None])  # (ages, K)
    return powers[histories.ages] * histories.weights[:, None]


def shares(decays: Floats, histories: Histories) -> Floats:
    """Return `w * g_k ** age / n_k` of each entry at each decay rate, (E, K); absolute values add up to 1 a learner."""
    owners, sizes, parts = histories.owners, len(histories), faded(decays, histories)
    for k in range(len(decays)):
        norm = np.bincount(owners, np.abs(parts[:, k]), sizes)  # (B,)
        parts[:, k] /= np.where(norm > 0, norm, 1.0)[owners]
    return parts.astype(np.float32)


def pool(decays: Floats, vectors: Floats, histories: Histories) -> Floats:
    """Return the pooled vectors m_k of each learner, (B, K, d); 0 for an empty history."""
    parts, size, rates = shares(decays, histories), len(histories.courses), len(decays)
    bounds = np.concatenate([[0], *(histories.starts[1:] + k * size for k in range(rates))])
    columns = np.tile(np.arange(size), rates)
    matrix = sparse.csr_array((parts.T.ravel(), columns, bounds), shape=(rates * len(histories), size))
    pooled: Floats = matrix @ vectors[histories.courses]  # (K * B, d)
    return np.ascontiguousarray(pooled.reshape(rates, len(histories), -1).transpose(1, 0, 2))


def project(pooled: Floats, tower: Floats, empty: Floats) -> Floats:
    """Return `sum_k m_k @ tower[k] + empty`, (B, d)."""
    batch, rates, d = pooled.shape
    projected: Floats = pooled.reshape(batch, rates * d) @ tower.reshape(rates * d, -1) + empty
    return projected


class Vectors(NamedTuple):
    """Learners' vectors for the two halves of NeuMF, (B, d) each."""

    gmf: Floats
    mlp: Floats


def learner_vectors(neumf: NeuMF, histories: Histories) -> Vectors:
    """Return the learners' vectors; every course of `histories` lies below the model's number of courses."""
    pooled = pool(neumf.decays, neumf.history, histories)
    return Vectors(project(pooled, neumf.gmf_tower, neumf.gmf_empty), project(pooled, neumf.mlp_tower, neumf.mlp_empty))


class TowerState:
    """One learner's pooled sums, grown entry by entry: (K, d + 1) numbers, whatever the length of the history."""

    def __init__(self, neumf: NeuMF) -> None:
        self._neumf = neumf
        self._sums = np.zeros((len(neumf.decays), neumf.history.shape[1]))
        self._norms = np.zeros((len(neumf.decays), 1))

    def push(self, course: int, weight: float) -> None:
        """Add the newest entry: s <- g s + w C[course], n <- g n + |w|."""
        decays = self._neumf.decays.astype(np.float64)[:, None]
        self._sums = decays * self._sums + weight * self._neumf.history[course]
        self._norms = decays * self._norms + abs(weight)

    def vectors(self) -> Vectors:
        """Return the learner's vectors, (d,) each."""
        pooled = self._sums / np.where(self._norms > 0, self._norms, 1.0)
        batch = pooled.astype(np.float32)[None]  # (1, K, d)
        one = self._neumf
        return Vectors(project(batch, one.gmf_tower, one.gmf_empty)[0], project(batch, one.mlp_tower, one.mlp_empty)[0])
