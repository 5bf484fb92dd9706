"""The index finds what the GMF logit ranks first."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from recommender.index import EXACT_UP_TO, RECALL, Index, queries_of
from recommender.model import Floats, NeuMF
from schemas.errors import BundleError


def test_search_equals_brute_force(neumf_of: Callable[..., NeuMF]) -> None:
    neumf = neumf_of(n=300)
    gmf = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    courses, scores = Index.build(neumf).search(queries_of(neumf, gmf), 20)
    brute = (gmf * neumf.gmf_out) @ neumf.gmf_course.T + neumf.bias
    np.testing.assert_allclose(scores, -np.sort(-brute, axis=1)[:, :20], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(brute, courses, 1), scores, rtol=1e-4, atol=1e-5)


def test_bytes_are_deterministic_and_come_back(neumf_of: Callable[..., NeuMF]) -> None:
    neumf = neumf_of()
    raw = Index.build(neumf).to_bytes()
    assert raw == Index.build(neumf_of()).to_bytes() == Index.from_bytes(raw, neumf).to_bytes()


def test_no_more_courses_than_there_are(neumf_of: Callable[..., NeuMF]) -> None:
    neumf = neumf_of(n=3)
    courses, _ = Index.build(neumf).search(queries_of(neumf, np.zeros((2, 4), np.float32)), 10)
    assert sorted(courses[0]) == [0, 1, 2]
    assert Index.build(neumf).search(np.empty((0, 5), np.float32), 10)[0].shape == (0, 0)


def test_a_foreign_index_is_refused(neumf_of: Callable[..., NeuMF]) -> None:
    raw = Index.build(neumf_of(n=3)).to_bytes()
    with pytest.raises(BundleError, match="holds 3 x 5 numbers, NeuMF 4 x 5"):
        Index.from_bytes(raw, neumf_of(n=4))
    with pytest.raises(BundleError, match="cannot be read"):
        Index.from_bytes(b"rubbish", neumf_of())


def _brute(neumf: NeuMF, gmf: Floats, count: int) -> NDArray[np.int64]:
    scores = (gmf * neumf.gmf_out) @ neumf.gmf_course.T + neumf.bias
    best: NDArray[np.int64] = np.argpartition(-scores, count, axis=1)[:, :count]
    return best


def _recall(index: Index, neumf: NeuMF, gmf: Floats) -> float:
    found, _ = index.search(queries_of(neumf, gmf), 100)
    return float(np.mean([np.isin(true, own).mean() for own, true in zip(found, _brute(neumf, gmf, 100), strict=True)]))


@pytest.fixture
def many(neumf_of: Callable[..., NeuMF]) -> NeuMF:
    """Return a network of more courses than are scored one and all, fifty around each topic."""
    random, n, d = np.random.default_rng(3), EXACT_UP_TO + 1_000, 16
    topics = random.normal(size=(n // 50, d))
    around = topics[random.integers(len(topics), size=n)] + 0.5 * random.normal(size=(n, d))
    return replace(neumf_of(n=n, d=d), gmf_course=around.astype(np.float32))


def test_cells_find_nearly_all_of_many_courses_in_less_than_all_cells(many: NeuMF) -> None:
    index, random = Index.build(many), np.random.default_rng(4)
    gmf = many.gmf_course[random.integers(len(many.bias), size=(200, 3))].mean(axis=1) * np.sign(many.gmf_out)
    assert _recall(index, many, gmf) >= 0.95
    assert index.share_searched < 1
    assert index.scores(queries_of(many, gmf)) is None


def test_cells_are_deterministic_and_come_back(many: NeuMF) -> None:
    index = Index.build(many)
    raw, again = index.to_bytes(), Index.from_bytes(index.to_bytes(), many)
    assert raw == Index.build(many).to_bytes() == again.to_bytes()
    assert again.share_searched == index.share_searched
    queries = queries_of(many, many.gmf_course[:50])
    np.testing.assert_array_equal(again.search(queries, 30)[0], index.search(queries, 30)[0])


def test_where_cells_do_not_help_more_of_them_are_searched(
    neumf_of: Callable[..., NeuMF], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Courses without topics: no cell is nearer than others, and what is found decides, not how long it takes."""
    monkeypatch.setattr("recommender.index.EXACT_UP_TO", 4_000)
    neumf = neumf_of(n=5_000, d=32)
    index, gmf = Index.build(neumf), np.random.default_rng(5).normal(size=(100, 32)).astype(np.float32)
    assert index.share_searched > 0.2
    assert _recall(index, neumf, gmf) >= RECALL - 0.05


def test_up_to_the_bound_all_is_found(neumf_of: Callable[..., NeuMF]) -> None:
    neumf = neumf_of(n=EXACT_UP_TO)
    index, gmf = Index.build(neumf), np.random.default_rng(6).normal(size=(20, 4)).astype(np.float32)
    assert index.share_searched == 1 and _recall(index, neumf, gmf) == 1
