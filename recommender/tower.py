"""The history tower: a learner's vectors as an exact function of the history.

    s_k = sum over entries of w * g_k ** age * C[course]        age: number of later entries that the model knows
    n_k = sum over entries of |w| * g_k ** age
    y   = sum_k (s_k / n_k) @ tower[k] + empty
    p   = y + relu(norm(y) @ in + bias) @ back              GMF alone; norm: mean 0, deviation 1

The same in training, evaluation, replay and serving. Courses that the model does not know are skipped; of the others
the newest `NEWEST` count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recommender.history import Learner
from recommender.model import Floats, Integers, NeuMF

NEWEST: Final = 50
"""Entries of a history that the tower reads."""

_EPSILON: Final = 1e-5
"""Added to a variance, as torch does."""

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
    return encode_pairs([learner.entries for learner in learners], index_of)


def encode_pairs(
    rows: Sequence[Sequence[tuple[str, float, *tuple[object, ...]]]], index_of: Mapping[str, int]
) -> Histories:
    """Return the same of rows of entries, whose course and weight stand first."""
    courses = [index_of.get(entry[0], -1) for entries in rows for entry in entries]
    weights = [entry[1] for entries in rows for entry in entries]
    counts = [len(entries) for entries in rows]
    starts = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    positions = np.arange(starts[-1]) - np.repeat(starts[:-1], counts)
    dense = np.array(courses, dtype=np.int32)
    whole = Histories(starts, dense, np.array(weights, dtype=np.float32), positions.astype(np.int32))
    return whole.keep((dense >= 0) & (whole.weights != 0))


def shares(decays: Floats, histories: Histories) -> Floats:
    """Return `w * g_k ** age / n_k` of each entry at each decay rate, (E, K); absolute values add up to 1 a learner."""
    longest = int(histories.ages.max(initial=0)) + 1
    powers = np.power(decays.astype(np.float64), np.arange(longest)[:, None])  # (ages, K)
    owners, sizes, parts = histories.owners, len(histories), powers[histories.ages] * histories.weights[:, None]
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
    flat: Floats
    """The GMF vectors before their hidden layer."""


def deepened(neumf: NeuMF, flat: Floats) -> Floats:
    """Return the GMF vectors, (..., d), of projected histories: these, and what a hidden layer makes of them."""
    centred = flat - flat.mean(axis=-1, keepdims=True)
    variance = np.vecdot(centred, centred)[..., None] / np.float32(flat.shape[-1])
    centred /= np.sqrt(variance + np.float32(_EPSILON))
    hidden = centred @ neumf.gmf_in  # (..., 4 d)
    bias = neumf.gmf_in_bias
    vectors: Floats = np.maximum(hidden, -bias, out=hidden) @ neumf.gmf_back  # relu(x + b) = max(x, -b) + b
    vectors += flat
    vectors += bias @ neumf.gmf_back
    return vectors


def learner_vectors(neumf: NeuMF, histories: Histories) -> Vectors:
    """Return the learners' vectors; every course of `histories` lies below the model's number of courses."""
    pooled = pool(neumf.decays, neumf.history, histories.keep(histories.ages < NEWEST))
    flat = project(pooled, neumf.gmf_tower, neumf.gmf_empty)
    return Vectors(deepened(neumf, flat), project(pooled, neumf.mlp_tower, neumf.mlp_empty), flat)
