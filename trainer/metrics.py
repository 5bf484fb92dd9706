"""Metrics as pure functions: of ranks with one course to be found a test, of what is shown, of predicted ratings.

Ranks are 1-based; `NOT_LISTED` where a list did not have the course. With one course to be found, recall is the hit
rate.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recommender.content import Matrix
from trainer.verdict import Metrics

TOP: Final = 10
CUTS: Final = (TOP, 5)
NOT_LISTED: Final = 0

Ranks = NDArray[np.int64]
Doubles = NDArray[np.float64]


def hits_of(ranks: Ranks, top: int = TOP) -> NDArray[np.bool_]:
    """Return whether each test's course stands in the first `top` places, (C,).

    >>> hits_of(np.array([1, 3, 11, NOT_LISTED])).tolist()
    [True, True, False, False]
    """
    return (ranks > NOT_LISTED) & (ranks <= top)


def gains_of(ranks: Ranks, top: int = TOP) -> Doubles:
    """Return what each test adds to NDCG, (C,).

    >>> gains_of(np.array([1, 3, 11, NOT_LISTED])).tolist()
    [1.0, 0.5, 0.0, 0.0]
    """
    return np.where(hits_of(ranks, top), 1.0 / np.log2(1.0 + np.maximum(ranks, 1)), 0.0)


def reciprocals_of(ranks: Ranks, top: int = TOP) -> Doubles:
    """Return what each test adds to the mean reciprocal rank, (C,).

    >>> reciprocals_of(np.array([1, 4, 11, NOT_LISTED])).tolist()
    [1.0, 0.25, 0.0, 0.0]
    """
    return np.where(hits_of(ranks, top), 1.0 / np.maximum(ranks, 1), 0.0)


def by_test(ranks: Ranks, top: int = TOP) -> dict[str, Doubles]:
    """Return each metric's value in each test, (C,): their means are the metrics."""
    hits = hits_of(ranks, top).astype(np.float64)
    return {
        f"recall@{top}": hits,
        f"hr@{top}": hits,
        f"ndcg@{top}": gains_of(ranks, top),
        f"mrr@{top}": reciprocals_of(ranks, top),
        f"precision@{top}": hits / top,
    }


def metrics_of(ranks: Ranks, cuts: Sequence[int] = CUTS) -> Metrics:
    """Return the metrics of ranks at each cut; 0 where there is no test.

    >>> metrics_of(np.array([1, 3, 11, 0]), [10])
    {'recall@10': 0.5, 'hr@10': 0.5, 'ndcg@10': 0.375, 'mrr@10': 0.333333, 'precision@10': 0.05}
    """
    values = {name: one for top in cuts for name, one in by_test(ranks, top).items()}
    return {name: round(float(one.sum()) / max(len(ranks), 1), 6) for name, one in values.items()}


def ranks_among(scores: NDArray[np.float32], own: NDArray[np.float32]) -> Ranks:
    """Return the ranks of scores `own`, (B,), among those of others, (B, m): who ties stands before.

    >>> ranks_among(np.array([[3.0, 2.0, 1.0]], np.float32), np.array([2.0], np.float32)).tolist()
    [3]
    """
    ranks: Ranks = 1 + (scores >= own[:, None]).sum(axis=1)
    return ranks


def self_information(counts: NDArray[np.int64], num_learners: int) -> Doubles:
    """Return the bits that it takes to say that a learner took a course, (n,): the less known, the more.

    A learner who took every course is added to them, so that no course is infinitely surprising. The mean over what is
    shown is its novelty (Zhou et al., PNAS 2010).

    >>> self_information(np.array([3, 1, 0]), 3).tolist()
    [0.0, 1.0, 2.0]
    """
    bits: Doubles = np.log2(num_learners + 1.0) - np.log2(counts + 1.0)
    return bits


def mean_cosines(lists: Matrix, vectors: Matrix) -> Doubles:
    """Return the mean cosine of the pairs of courses in each list, (B,); NaN for a list without a pair.

    `lists`: which courses are in which list, (B, n) of ones. `vectors`, (n, v): of length 1, or 0 without a text.

    >>> from scipy.sparse import csr_array
    >>> three = csr_array(np.array([[1, 0], [1, 0], [0, 1]], np.float32))
    >>> mean_cosines(csr_array(np.array([[1, 1, 1], [1, 0, 0]], np.float32)), three).round(3).tolist()
    [0.333, nan]
    """
    summed = lists @ vectors  # (B, v)
    itself = lists @ np.asarray(vectors.power(2).sum(axis=1)).ravel()  # (B,), a course's cosine with itself
    sizes = np.diff(lists.indptr)
    pairs = np.where(sizes > 1, sizes * (sizes - 1.0), np.nan)
    cosines: Doubles = (np.asarray(summed.power(2).sum(axis=1)).ravel() - itself) / pairs
    return cosines


def rmse(predicted: NDArray[np.floating], actual: NDArray[np.floating]) -> float:
    """Return the root of the mean squared error of predicted ratings; 0 of nothing.

    >>> rmse(np.array([1.0, 5.0]), np.array([4.0, 1.0]))
    3.5355339059327378
    """
    return float(np.sqrt(np.square(predicted - actual).mean())) if len(actual) else 0.0


def mae(predicted: NDArray[np.floating], actual: NDArray[np.floating]) -> float:
    """Return the mean absolute error of predicted ratings.

    >>> mae(np.array([1.0, 5.0]), np.array([4.0, 1.0]))
    3.5
    """
    return float(np.abs(predicted - actual).mean())
