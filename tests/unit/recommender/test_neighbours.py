"""Item-item scores against dense matrices."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from recommender.model import Floats, Rows
from recommender.neighbours import NEGLIGIBLE, Neighbours, decayed
from recommender.tower import Histories


def _histories() -> Histories:
    starts, courses = np.array([0, 2, 2, 5]), np.array([0, 3, 1, 2, 4], dtype=np.int32)
    weights = np.array([1, 0.5, -1, 1, 2], dtype=np.float32)
    return Histories(starts, courses, weights, np.array([0, 1, 0, 1, 2], dtype=np.int32))


def _dense() -> Floats:
    dense = np.random.default_rng(0).normal(size=(5, 5)).astype(np.float32)
    dense[2] = 0
    dense[:, 0] *= np.arange(5) % 2
    np.fill_diagonal(dense, 0)
    return dense


def test_scores_equal_the_dense_product(rows_from: Callable[[Floats], Rows]) -> None:
    histories, dense = _histories(), _dense()
    scores = Neighbours.from_rows(rows_from(dense), 6).scores(histories)
    assert scores.shape == (3, 6)
    for row in range(3):
        part = slice(histories.starts[row], histories.starts[row + 1])
        wanted = histories.weights[part] @ dense[histories.courses[part]]
        np.testing.assert_allclose(scores[row, :5], wanted, rtol=1e-5, atol=1e-6)
    assert not scores[:, 5].any()


def test_many_learners_are_scored_as_each_alone(rows_from: Callable[[Floats], Rows]) -> None:
    neighbours, random = Neighbours.from_rows(rows_from(_dense()), 5), np.random.default_rng(1)
    starts = np.concatenate(([0], np.cumsum(random.integers(0, 4, 40))))
    courses, weights = random.integers(0, 5, starts[-1], dtype=np.int32), random.random(starts[-1], dtype=np.float32)
    scores = neighbours.scores(Histories(starts, courses, weights, np.zeros_like(courses)))
    for row, (first, last) in enumerate(pairwise(starts.tolist())):
        alone = Histories(np.array([0, last - first]), courses[first:last], weights[first:last], courses[first:last])
        np.testing.assert_array_equal(scores[row], neighbours.scores(alone)[0])


def test_near_are_the_weights_of_listed_courses(rows_from: Callable[[Floats], Rows]) -> None:
    dense = _dense()
    courses, listed = np.array([[0, 3], [2, 4]]), np.array([[1, 2, -1], [4, 3, 0]])
    near = Neighbours.from_rows(rows_from(dense), 5).near(courses, listed)
    assert near.shape == (2, 2, 3)
    np.testing.assert_array_equal(near[0, :, :2], dense[courses[0]][:, [1, 2]])
    np.testing.assert_array_equal(near[1], dense[courses[1]][:, [4, 3, 0]])


def test_history_decays_by_later_courses_and_fades_out() -> None:
    faded = decayed(_histories(), 0.5)
    np.testing.assert_allclose(faded.weights, [0.5, 0.5, -0.25, 0.5, 2])
    long = Histories(
        np.array([0, 500]), np.zeros(500, np.int32), np.ones(500, np.float32), np.arange(500, dtype=np.int32)
    )
    kept = decayed(long, 0.9)
    assert kept.weights.min() >= NEGLIGIBLE
    assert kept.positions.tolist() == list(range(500 - len(kept.positions), 500))
    assert len(decayed(long, 1.0).positions) == 500
