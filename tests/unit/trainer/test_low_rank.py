"""Weights of low rank beside the exact ones: how wrong they may be, and how wrong they are."""

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array

from trainer.ease import ease_weights, largest, low_rank_ease_weights
from trainer.low_rank import factor_of, inverse_of
from trainer.next_course import low_rank_next_course_weights, next_course_weights

N = 60
RANK = 12
NEAR = 1.25
"""A factor of random directions misses at most so much more than the best factor of its rank."""


def taken(seed: int = 1) -> csr_array:
    """Return who took what, (800, 60): learners of six tastes, courses of falling popularity."""
    rng = np.random.default_rng(seed)
    likes = rng.random((6, N)) < 0.25
    chances = np.where(likes[rng.integers(6, size=800)], 0.5, 0.03) / np.sqrt(1.0 + np.arange(N) / 10)
    return csr_array((rng.random((800, N)) < chances).astype(np.float64))


def without_diagonal(weights: NDArray[np.float32]) -> NDArray[np.float64]:
    found = weights.astype(np.float64)
    np.fill_diagonal(found, 0.0)
    return found


def eigenvalues(rows: csr_array) -> NDArray[np.float64]:
    """Return those of X'X, largest first."""
    return np.asarray(np.linalg.eigvalsh((rows.T @ rows).toarray())[::-1])


def test_a_factor_stays_below_and_misses_little_more_than_the_first_dropped_eigenvalue() -> None:
    rows = taken()
    factor = factor_of(rows, RANK, seed=1)
    missed = np.linalg.eigvalsh((rows.T @ rows).toarray() - factor @ factor.T)
    assert missed.min() > -1e-6
    assert eigenvalues(rows)[RANK] * (1 - 1e-9) <= missed.max() < NEAR * eigenvalues(rows)[RANK]


@pytest.mark.parametrize("rank", [RANK, 30])
def test_the_inverse_is_wrong_by_less_than_its_bound(rank: int) -> None:
    rows, ridge = taken(), 100.0
    low = inverse_of(rows, ridge, rank, seed=1)
    exact = np.linalg.inv((rows.T @ rows).toarray() + ridge * np.eye(N))
    wrong = np.linalg.norm(low @ np.eye(N) - exact, ord=2)
    assert 0 < wrong <= NEAR * eigenvalues(rows)[rank] / ridge**2


@pytest.mark.parametrize("rank", [RANK, 30])
def test_weights_are_wrong_by_less_than_their_bound(rank: int) -> None:
    rows, ridge = taken(), 400.0
    share = NEAR * eigenvalues(rows)[rank] / ridge
    assert share < 1
    most = 1.5 * share**2 / ridge
    diagonal = np.diag(np.linalg.inv((rows.T @ rows).toarray() + ridge * np.eye(N)))
    exact = ease_weights(rows, ridge)
    found = without_diagonal(low_rank_ease_weights(rows, ridge, rank, seed=1).rows(slice(0, N)))
    assert most < diagonal.min()
    assert (np.abs(found - exact) <= most * (1 + np.abs(exact)) / (diagonal - most) + 1e-6).all()


def test_of_full_rank_they_are_exact() -> None:
    rows, courses = taken(), np.arange(800) % N
    together = without_diagonal(low_rank_ease_weights(rows, 20.0, N, seed=1).rows(slice(0, N)))
    np.testing.assert_allclose(together, ease_weights(rows, 20.0), atol=1e-5)
    following = low_rank_next_course_weights(rows, courses, 20.0, N, seed=1).rows(slice(0, N))
    np.testing.assert_allclose(following, next_course_weights(rows, courses, 20.0), atol=1e-5)


def test_what_only_few_took_together_is_known_in_the_lowest_rank() -> None:
    """Rank 1 sees popularity alone; the step looks at the pairs themselves."""
    pair = np.zeros((800, 2))
    pair[:5] = 1.0
    rows = csr_array(np.hstack([taken().toarray(), pair]))
    found = low_rank_ease_weights(rows, 20.0, 1, seed=1).rows(slice(N, N + 1))[0]
    exact = ease_weights(rows, 20.0)[N]
    assert np.argmax(np.abs(exact)) == N + 1
    assert np.argmax(np.abs(np.delete(found, N))) == N
    assert 0.4 * exact[N + 1] < found[N + 1] < exact[N + 1]


def test_the_higher_the_rank_the_nearer_and_equal_seeds_give_equal_weights() -> None:
    rows, exact = taken(), ease_weights(taken(), 50.0)
    found = {rank: low_rank_ease_weights(rows, 50.0, rank, seed=1).rows(slice(0, N)) for rank in (2, RANK, 45)}
    errors = [float(np.linalg.norm(without_diagonal(one) - exact)) for one in found.values()]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.1 * np.linalg.norm(exact)
    assert np.array_equal(found[2], low_rank_ease_weights(rows, 50.0, 2, seed=1).rows(slice(0, N)))


def test_fewer_learners_than_the_rank_and_courses_that_nobody_took() -> None:
    rows = csr_array(np.array([[1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0]]))
    found = without_diagonal(low_rank_ease_weights(rows, 2.0, 4, seed=1).rows(slice(0, 4)))
    np.testing.assert_allclose(found, ease_weights(rows, 2.0), atol=1e-6)
    nothing = low_rank_ease_weights(csr_array((2, 4)), 2.0, 4, seed=1).rows(slice(0, 4))
    assert not without_diagonal(nothing).any()


def test_the_square_of_the_courses_is_nowhere_in_memory() -> None:
    courses, part = 6_000, 50
    rng = np.random.default_rng(1)
    places = rng.integers(2_000, size=6_000), rng.integers(courses, size=6_000)
    rows = csr_array((np.ones(6_000), places), shape=(2_000, courses))
    tracemalloc.start()
    weights = low_rank_ease_weights(rows, 10.0, 8, seed=1)
    blocks = (weights.rows(slice(start, start + part)) for start in range(0, courses, part))
    kept = largest(blocks, courses, neighbours=5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(kept) == courses
    assert peak < courses**2 * 4 / 5
