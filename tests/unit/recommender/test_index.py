"""The index finds what the GMF logit ranks first."""

from collections.abc import Callable

import numpy as np
import pytest

from recommender.index import Index, queries_of
from recommender.model import NeuMF
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
