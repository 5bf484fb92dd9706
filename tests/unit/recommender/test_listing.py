"""Packing from arrays gives the bytes that packing one by one gives."""

from collections.abc import Callable

import numpy as np
import pytest

from recommender.history import Learner, Profile
from recommender.model import Model
from recommender.popularity import popularity_of
from recommender.recommend import Recommender, prepare
from schemas.candidates import CandidateList, Version, pack_candidates
from schemas.courses import Course


@pytest.mark.parametrize("limit", [1, 7, 250])
def test_packed_arrays_equal_packed_candidates(
    model_of: Callable[..., Model], enrolled_in: Callable[..., Learner], limit: int
) -> None:
    catalogue = {"नया पाठ": Course(course_id="नया पाठ", title="sql"), "c01": Course(course_id="c01", language="en")}
    recommender = Recommender(prepare(model_of(n=120)), catalogue, popularity_of({"c07": {1: 3}, "c09": {1: 1}}))
    learners = [
        enrolled_in(*(f"c{i:02d}" for i in range(30))),
        Learner(profile=Profile(interests=("sql",), languages=("en",))),
        Learner(taken=frozenset(recommender.course_ids)),
        Learner(),
        enrolled_in("c05"),
    ]
    version = Version(7, 3, 40, -1)
    for ranked, listed in zip(recommender.rank(learners, limit), recommender.recommend(learners, limit), strict=True):
        wanted = CandidateList(version, 99, listed.causes, listed.candidates)
        assert ranked.pack(version, 99) == pack_candidates(wanted)
        np.testing.assert_array_equal(ranked.embedding, listed.embedding)
