"""Places: as a reader would have seen them, or worse, never better."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.places import SHARED_PLACES, places_in, shared_place
from recommender.popularity import popularity_of
from recommender.recommend import Recommender
from recommender.resort import resort
from recommender.universe import prepare
from schemas.candidates import STRATEGIES, Candidate, Source
from schemas.courses import Course
from tests.unit.recommender.conftest import make_model


def drawn(seed: int, levels: int) -> list[Candidate]:
    """Return a list whose components have so many levels: few levels, many ties."""
    dice = random.Random(seed)
    scores = sorted((dice.randrange(levels) for _ in range(40)), reverse=True)
    return [
        Candidate(f"c{i}", float(score), tuple(float(dice.randrange(levels)) for _ in range(5)), Source.CONTENT, None)
        for i, score in enumerate(scores)
    ]


@given(seed=st.integers(0, 10_000), strategy=st.sampled_from(STRATEGIES))
def test_without_ties_a_place_is_the_one_a_reader_sees(seed: int, strategy: str) -> None:
    listed = drawn(seed, 10**9)
    taken = {one.course_id for one in random.Random(seed).sample(listed, 10)}
    shown = [one.course_id for one in resort(listed, strategy) if one.course_id not in taken]
    for place, course_id in enumerate(shown, start=1):
        assert places_in(listed, course_id, taken)[strategy] == place
    assert places_in(listed, "elsewhere", taken)[strategy] is None


@given(seed=st.integers(0, 10_000), strategy=st.sampled_from(STRATEGIES))
def test_of_what_ties_each_has_the_last_place(seed: int, strategy: str) -> None:
    listed = drawn(seed, 3)
    shown = resort(listed, strategy)
    last = {one.score: place for place, one in enumerate(shown, start=1)}
    for one in shown:
        assert places_in(listed, one.course_id, frozenset())[strategy] == last[one.score]


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    """Twelve courses: c00 is the most popular, c01 and c02 tie, c03 is retired; nobody took the others."""
    courses = [Course(course_id=f"c{i:02d}", retired=i == 3) for i in range(12)]
    counts = {"c00": {1: 9}, "c01": {1: 4}, "c02": {1: 4}, "c03": {1: 7}}
    catalogue = {course.course_id: course for course in courses}
    return Recommender(prepare(make_model()), catalogue, popularity_of(counts))


@pytest.mark.parametrize(
    ("course_id", "taken", "place"),
    [
        ("c00", set(), 1), ("c01", set(), 3), ("c02", {"c00"}, 2), ("c02", {"c01", "unknown"}, 2), ("c07", set(), 11),
        ("c03", set(), None), ("unknown", set(), None),
    ],
)  # fmt: skip
def test_places_in_the_popular_list(
    recommender: Recommender, course_id: str, taken: set[str], place: int | None
) -> None:
    assert shared_place(recommender, course_id, taken) == place


def test_places_in_the_trending_list() -> None:
    courses = {f"c{i:02d}": Course(course_id=f"c{i:02d}") for i in range(12)}
    counts = {"c00": {1: 9}, "c01": {1: 4, 100: 1}, "c02": {100: 2}}
    recommender = Recommender(prepare(make_model()), courses, popularity_of(counts))
    places = [shared_place(recommender, name, frozenset(), "trending") for name in ("c00", "c01", "c02")]
    assert places == [12, 2, 1]
    assert [shared_place(recommender, name, frozenset()) for name in ("c00", "c01", "c02")] == [1, 2, 3]


def test_the_popular_list_ends() -> None:
    catalogue = {f"n{i:03d}": Course(course_id=f"n{i:03d}") for i in range(2 * SHARED_PLACES)}
    popularity = popularity_of({course_id: {1: 999 - i} for i, course_id in enumerate(catalogue)})
    recommender = Recommender(prepare(make_model()), catalogue, popularity)
    assert shared_place(recommender, f"n{SHARED_PLACES - 1:03d}", frozenset()) == SHARED_PLACES
    assert shared_place(recommender, f"n{SHARED_PLACES:03d}", frozenset()) is None
