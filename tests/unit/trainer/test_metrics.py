"""Metrics against examples worked by hand, and against scikit-learn on random scores."""

import math

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.metrics import (
    label_ranking_average_precision_score,
    mean_absolute_error,
    ndcg_score,
    precision_score,
    recall_score,
    root_mean_squared_error,
    top_k_accuracy_score,
)
from sklearn.metrics.pairwise import cosine_similarity

from trainer.metrics import (
    CUTS,
    NOT_LISTED,
    hits_of,
    mae,
    mean_cosines,
    metrics_of,
    ranks_among,
    reciprocals_of,
    rmse,
    self_information,
)

RNG = np.random.default_rng(5)
SCORES = RNG.permuted(np.tile(np.arange(30, dtype=np.float32), (200, 1)), axis=1)  # no ties: (tests, courses)
TARGETS = RNG.integers(30, size=200)
RELEVANT = np.eye(30)[TARGETS]
OWN = SCORES[np.arange(200), TARGETS]
OTHERS = SCORES[RELEVANT == 0].reshape(200, 29)
RANKS = ranks_among(OTHERS, OWN)


def test_an_example_worked_by_hand() -> None:
    found = metrics_of(np.array([1, 3, 6, NOT_LISTED]))
    assert (found["recall@10"], found["recall@5"]) == (found["hr@10"], found["hr@5"]) == (3 / 4, 2 / 4)
    assert found["ndcg@10"] == pytest.approx((1 + 1 / 2 + 1 / math.log2(7)) / 4, abs=1e-6)
    assert found["ndcg@5"] == pytest.approx((1 + 1 / 2) / 4, abs=1e-6)
    assert found["mrr@10"] == pytest.approx((1 + 1 / 3 + 1 / 6) / 4, abs=1e-6)
    assert found["mrr@5"] == pytest.approx((1 + 1 / 3) / 4, abs=1e-6)
    assert (found["precision@10"], found["precision@5"]) == (3 / 40, 2 / 20)


def test_nobody_tested_is_zero() -> None:
    assert set(metrics_of(np.empty(0, dtype=np.int64)).values()) == {0.0}


@pytest.mark.parametrize("top", CUTS)
def test_ranks_agree_with_scikit_learn(top: int) -> None:
    found = metrics_of(RANKS)
    assert found[f"ndcg@{top}"] == pytest.approx(ndcg_score(RELEVANT, SCORES, k=top), abs=1e-6)
    accuracy = top_k_accuracy_score(TARGETS, SCORES, k=top, labels=np.arange(30))
    assert found[f"hr@{top}"] == pytest.approx(accuracy, abs=1e-6)
    listed = (np.argsort(np.argsort(-SCORES, axis=1), axis=1) < top).astype(int)
    assert found[f"recall@{top}"] == pytest.approx(recall_score(RELEVANT, listed, average="samples"), abs=1e-6)
    assert found[f"precision@{top}"] == pytest.approx(precision_score(RELEVANT, listed, average="samples"), abs=1e-6)
    hits = hits_of(RANKS, top)
    reciprocal = label_ranking_average_precision_score(RELEVANT[hits], SCORES[hits]) * hits.mean()
    assert found[f"mrr@{top}"] == pytest.approx(reciprocal, abs=1e-6)
    assert reciprocals_of(RANKS, top).mean() == pytest.approx(reciprocal)


def test_ties_count_against_the_model() -> None:
    scores = np.array([[1.0, 1.0, 0.5], [1.0, 0.0, -np.inf]], np.float32)
    assert ranks_among(scores, np.array([1.0, -np.inf], np.float32)).tolist() == [3, 4]


def test_ratings_agree_with_scikit_learn() -> None:
    predicted, actual = RNG.uniform(1, 5, size=(2, 50))
    assert rmse(predicted, actual) == pytest.approx(root_mean_squared_error(actual, predicted))
    assert mae(predicted, actual) == pytest.approx(mean_absolute_error(actual, predicted))
    by_hand = np.array([1.0, 2.0]), np.array([4.0, 6.0])
    assert rmse(*by_hand) == pytest.approx(math.sqrt(12.5))
    assert mae(*by_hand) == 3.5


def test_cosines_within_a_list_agree_with_scikit_learn() -> None:
    vectors = RNG.uniform(size=(6, 4))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[5] = 0.0  # a course without text
    members = np.array([[1, 1, 0, 1, 0, 0], [0, 0, 1, 0, 0, 1], [0, 0, 0, 0, 1, 0]])
    found = mean_cosines(csr_array(members.astype(np.float32)), csr_array(vectors.astype(np.float32)))
    for row in range(2):
        cosines = cosine_similarity(vectors[members[row] == 1])
        assert found[row] == pytest.approx(cosines[np.triu_indices(len(cosines), 1)].mean(), abs=1e-6)
    assert np.isnan(found[2])


def test_what_few_took_is_more_novel() -> None:
    bits = self_information(np.array([7, 3, 0]), 7)
    assert bits.tolist() == [0.0, 1.0, 3.0]
