"""Item-item weights: what is taken together, and what is taken next."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recommender.neighbours import Neighbours
from recommender.tower import Histories
from schemas.errors import NotReadyError
from schemas.events import LearnerEvent
from tests.unit.trainer.campus import checkerboard, enrolled
from trainer.interactions import Interactions, interactions_of
from trainer.item_item import fit_item_item
from trainer.next_course import decayed_rows, next_course_weights
from trainer.settings import TrainerSettings

SETTINGS = TrainerSettings(ease_lambda=2.0)


def _fit(interactions: Interactions, **settings: float) -> Neighbours:
    every = np.arange(len(interactions))
    ease = fit_item_item(interactions, every, interactions.taken_before(), SETTINGS.model_copy(update=settings))
    return Neighbours.from_rows(ease.rows, len(interactions.course_ids))


def _weights(neighbours: Neighbours) -> NDArray[np.float64]:
    dense = np.zeros((len(neighbours), len(neighbours)))
    np.put_along_axis(dense, neighbours.indices, neighbours.weights, axis=1)
    return dense


def _ladders(learners: int = 60) -> list[LearnerEvent]:
    """Everybody takes a, b, c in this order."""
    return [enrolled(f"u{i:02}", course, 10 * i + place) for i in range(learners) for place, course in enumerate("abc")]


def test_next_courses_solve_the_ridge_regression() -> None:
    rng = np.random.default_rng(1)
    before, courses = rng.random((40, 6)) * (rng.random((40, 6)) < 0.4), rng.integers(6, size=40)
    histories = Histories(
        np.concatenate(([0], np.cumsum((before > 0).sum(axis=1)))).astype(np.int64),
        np.nonzero(before)[1].astype(np.int32),
        before[before > 0].astype(np.float32),
        np.zeros(int((before > 0).sum()), dtype=np.int32),
    )
    rows = decayed_rows(histories, 1.0, 6)
    np.testing.assert_allclose(rows.toarray(), before, rtol=1e-6)
    taken = np.eye(6)[courses]
    expected = np.linalg.solve(before.T @ before + 3.0 * np.eye(6), before.T @ taken)
    np.testing.assert_allclose(next_course_weights(rows, courses, 3.0), expected, atol=1e-6)


def test_what_follows_weighs_more_than_what_came_before() -> None:
    interactions = interactions_of(_ladders())
    together, ordered = (_weights(_fit(interactions, ease_next_weight=weight)) for weight in (0.0, 1.0))
    assert together[1, 0] == pytest.approx(together[1, 2], rel=1e-6)  # b with a and with c
    assert ordered[1, 2] > ordered[1, 0] + 0.3
    assert (np.diag(ordered) == 0).all()


def test_the_future_of_a_learner_is_not_looked_at() -> None:
    events = checkerboard(learners=40)
    moment_us = int(np.median([event.occurred_us for event in events]))
    past = [event for event in events if event.occurred_us < moment_us]
    courses = [f"c{i:02}" for i in range(40)]
    whole, cut = interactions_of(_sorted(events), courses), interactions_of(_sorted(past), courses)
    rows, taken = whole.before(moment_us), whole.taken_before(moment_us)
    found = fit_item_item(whole, rows, taken, SETTINGS).rows
    expected = fit_item_item(cut, np.arange(len(cut)), cut.taken_before(), SETTINGS).rows
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_allclose(found.data, expected.data, rtol=1e-5)


def _sorted(events: list[LearnerEvent]) -> list[LearnerEvent]:
    return sorted(events, key=lambda event: (event.user_id, event.occurred_us))


def test_beyond_the_maximum_every_course_takes_part_in_about_the_same_weights() -> None:
    interactions = interactions_of(_sorted(checkerboard(learners=40)))
    exact, found = _weights(_fit(interactions)), _weights(_fit(interactions, ease_max_courses=5, ease_rank=20))
    again = _weights(_fit(interactions, ease_max_courses=5, ease_rank=20))
    assert np.array_equal(found.any(axis=1), exact.any(axis=1))
    assert (np.diag(found) == 0).all()
    assert 0 < np.linalg.norm(found - exact) < 0.3 * np.linalg.norm(exact)
    assert np.array_equal(found, again)


def test_the_decay_is_kept_for_serving() -> None:
    interactions = interactions_of(_ladders())
    every = np.arange(len(interactions))
    settings = SETTINGS.model_copy(update={"ease_decay": 0.7})
    assert fit_item_item(interactions, every, interactions.taken_before(), settings).decay == 0.7


def test_one_learner_with_one_course_is_enough() -> None:
    assert _weights(_fit(interactions_of([enrolled("u", "c", 0)]))).tolist() == [[0.0]]


def test_a_ridge_of_nothing_is_an_error_that_says_what_to_do() -> None:
    before = csr_array(np.array([[1.0, 0.0]]))
    with pytest.raises(NotReadyError, match="EASE_LAMBDA"):
        next_course_weights(before, np.array([1]), 0.0)


def test_only_the_largest_weights_are_kept() -> None:
    interactions = interactions_of(checkerboard(learners=30))
    every, few = (_weights(_fit(interactions, ease_neighbours=number)) for number in (0, 5))
    assert (np.count_nonzero(few, axis=1) <= 5).all()
    assert np.count_nonzero(every) > 10 * len(every)
    kept = few != 0
    assert np.array_equal(few[kept], every[kept])
    for row, mask in zip(np.abs(every), kept, strict=True):
        assert row[mask].min() >= row[~mask].max() - 1e-6
