"""Baselines against plain arithmetic, beside the suite that every model runs."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array

from recommender.history import Learner
from tests.unit.trainer.test_contenders import known, learners, listed, model_of
from trainer.baseline import validated
from trainer.ials import WEIGHTS, Weights, solve
from trainer.itemknn import SHRINKAGE, ItemKNN
from trainer.neumf_id import NeuMFById
from trainer.svd import PureSVD, components_of


def taken() -> np.ndarray:
    """Return who took what, (learners, n)."""
    found: np.ndarray = known().interactions.taken_before(known().until_us).toarray().astype(float)
    return found


def histories(own: list[Learner]) -> np.ndarray:
    """Return the learners' courses as rows of ones, (B, n)."""
    ids = known().interactions.course_ids
    return np.array([[float(course_id in learner.taken) for course_id in ids] for learner in own])


def shrunk_cosines() -> np.ndarray:
    matrix = taken() * np.log1p(taken().shape[1] / (1 + taken().sum(axis=1)))[:, None]
    lengths = np.linalg.norm(matrix, axis=0)
    cosines: np.ndarray = matrix.T @ matrix / (np.outer(lengths, lengths) + SHRINKAGE)
    np.fill_diagonal(cosines, 0.0)
    return cosines


def test_itemknn_adds_shrunk_cosines() -> None:
    own, model = learners()[:3], model_of("itemknn")
    assert isinstance(model, ItemKNN)
    np.testing.assert_allclose(model.score(own), histories(own) @ shrunk_cosines(), rtol=1e-4)


def test_itemknn_asks_the_neighbours_of_the_course_to_be_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not those of what is in the history: a popular course is near to everything, yet near to itself is little."""
    monkeypatch.setattr("trainer.itemknn.NEIGHBOURS", 3)
    own, model, cosines = learners()[:3], ItemKNN(), shrunk_cosines()
    model.fit(known())
    kept = np.array([model.alike(course) for course in range(len(cosines))])
    assert ((kept > 0).sum(axis=1) == 3).all()
    assert np.where(kept > 0, cosines, 1.0).min(axis=1) == pytest.approx(np.sort(cosines, axis=1)[:, -3], rel=1e-4)
    np.testing.assert_allclose(model.score(own), histories(own) @ kept.T, rtol=1e-4)


def test_svd_projects_histories_on_the_main_directions() -> None:
    own, model = learners()[:3], PureSVD()
    _, _, exact = np.linalg.svd(taken(), full_matrices=False)
    model.use({"components": components_of(csr_array(taken()), 2, seed=1)}, known())
    np.testing.assert_allclose(model.score(own), histories(own) @ exact[:2].T @ exact[:2], atol=1e-4)


def test_svd_has_as_many_dimensions_as_suit_the_validation() -> None:
    model = model_of("svd")
    assert isinstance(model, PureSVD)
    every = components_of(known().interactions.taken_before(known().validation_us), 32, seed=1)
    gains = {dimensions: validated(PureSVD(), {"components": every[:dimensions]}, known()) for dimensions in (2, 32)}
    assert gains[2] > gains[32]  # there are two colours
    assert len(model.arrays["components"]) < 32


@pytest.mark.parametrize("weights", WEIGHTS)
def test_ials_solves_each_row_exactly(weights: Weights) -> None:
    """At the least loss its slope is 0: in no direction does a small step make it smaller."""
    rng = np.random.default_rng(0)
    others, row = rng.normal(size=(30, 4)).astype(np.float32), (rng.random((1, 30)) < 0.3).astype(np.float32)

    def loss(vector: np.ndarray) -> float:
        scores = others @ vector
        ridge = weights.regularisation * (row.sum() + weights.unobserved * 30) * vector @ vector
        return float((row[0] * (1 - scores) ** 2).sum() + weights.unobserved * (scores**2).sum() + ridge)

    (found,) = solve(csr_array(row), others, weights).astype(float)
    for step in np.vstack([np.eye(4), -np.eye(4)]):
        assert loss(found) < loss(found + 1e-2 * step)
    assert not solve(csr_array((1, 30)), others, weights).any()


def test_neumf_by_id_knows_the_learners_of_the_fit_as_they_were() -> None:
    model = model_of("neumf_id")
    assert isinstance(model, NeuMFById)
    known_one, nobody = learners()[0], learners()[-1]
    emptied = Learner(user_id=known_one.user_id)
    renamed = replace(known_one, user_id="nobody")
    np.testing.assert_array_equal(model.score([known_one]), model.score([emptied]))
    assert not model.score([nobody, renamed]).any()


def test_neumf_by_id_is_trained_on_nothing_of_the_future() -> None:
    moment = int(np.median(known().interactions.occurred_us))
    early = replace(known(), until_us=moment, validation_us=moment - 10**12, validation=[])
    cut = replace(early, interactions=replace(early.interactions, course=_other_courses_from(moment)))
    whole, without = NeuMFById(), NeuMFById()
    whole.fit(early)
    without.fit(cut)
    np.testing.assert_array_equal(whole.score(learners()), without.score(learners()))


def _other_courses_from(moment: int) -> np.ndarray:
    interactions = known().interactions
    later = interactions.occurred_us >= moment
    return np.where(later, 39 - interactions.course, interactions.course)


@pytest.mark.parametrize("name", ["itemknn", "svd", "ials", "neumf_id"])
def test_a_fit_on_nothing_is_popularity(name: str) -> None:
    first = int(known().interactions.occurred_us.min())
    empty = replace(known(), until_us=first, validation_us=first, validation=[])
    model = type(model_of(name))()
    model.fit(empty)
    assert listed(model, learners()[:1], 1) == listed(model_of("popular"), learners()[:1], 1)
