"""Learners of whom little is known, and courses of which little is known."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from recommender.blend import Blend
from recommender.content import fit_text, text_of
from recommender.history import Learner, Profile
from recommender.index import Index
from recommender.model import Model
from recommender.popularity import Popularity, popularity_of
from recommender.recommend import Recommendation, Recommender, prepare
from recommender.shared import cold
from schemas.candidates import Source
from schemas.courses import Course

SCRIPTS = {
    "Latin": ("Statistik und Wahrscheinlichkeit", "Gartenbau im Frühling", "statistik"),
    "Cyrillic": ("Машинное обучение для начинающих", "История искусства и живописи", "машинное обучение"),
    "Arabic": ("مقدمة في البرمجة بلغة بايثون", "تاريخ الفن الإسلامي والعمارة", "البرمجة"),
    "Devanagari": ("गणित की मूल बातें", "भारतीय संगीत का इतिहास", "गणित"),
    "Han": ("机器学习入门教程", "中国古代文学选读", "机器学习"),
}
EACH = 6


def courses_in(script: str) -> dict[str, Course]:
    """Return courses on a subject, and as many popular ones on another."""
    wanted, other, _ = SCRIPTS[script]
    courses = [Course(course_id=f"wanted{i}", title=wanted) for i in range(EACH)]
    courses += [Course(course_id=f"other{i}", title=other) for i in range(EACH)]
    return {course.course_id: course for course in courses}


def ids(found: Recommendation) -> list[str]:
    """Return the ids of a list."""
    return [candidate.course_id for candidate in found.candidates]


def recommender_in(script: str) -> Recommender:
    """Return a recommender that knows texts, of which the courses not searched for are the popular ones.

    The blend is what is fitted on a log without searches: content counts nothing there.
    """
    catalogue = courses_in(script)
    blend = Blend((0,), np.array([[0, 0, 0, 1, 1]], dtype=np.float32))
    model = Model(tuple(catalogue), fit_text([text_of(course) for course in catalogue.values()]), blend)
    return Recommender(prepare(model), catalogue, popularity_of({f"other{i}": {1: 5 + i} for i in range(EACH)}))


@pytest.mark.parametrize("script", SCRIPTS)
def test_one_search_moves_the_list(script: str) -> None:
    recommender, query = recommender_in(script), SCRIPTS[script][2]
    before, after = recommender.recommend([Learner(profile=Profile(level="easy")), Learner(queries=(query,))], limit=10)
    assert {course_id[:5] for course_id in ids(before)[:3]} == {"other"}
    assert {course_id[:6] for course_id in ids(after)[:3]} == {"wanted"}
    assert after.candidates[0].source == Source.INTERESTS


@pytest.mark.parametrize("script", SCRIPTS)
def test_one_interest_moves_the_list(script: str) -> None:
    [after] = recommender_in(script).recommend([Learner(profile=Profile(interests=(SCRIPTS[script][2],)))], limit=10)
    assert {course_id[:6] for course_id in ids(after)[:3]} == {"wanted"}
    assert after.candidates[0].source == Source.INTERESTS


@pytest.mark.parametrize("script", SCRIPTS)
def test_one_click_moves_the_list(script: str) -> None:
    recommender = recommender_in(script)
    [after] = recommender.recommend([Learner(signals=(("wanted0", 0.2),))], limit=10)
    assert {course_id[:6] for course_id in ids(after)[:3]} == {"wanted"}


def test_the_declared_level_comes_first_among_equals() -> None:
    levels = ("Expert", "Beginner Level", "", "Intermediate")
    catalogue = {f"c{i}": Course(course_id=f"c{i}", title="sql", level=level) for i, level in enumerate(levels)}
    model = Model(tuple(catalogue), fit_text([course.title for course in catalogue.values()]))
    recommender = Recommender(prepare(model), catalogue, Popularity())
    for profile in (Profile(level="beginner"), Profile(level="beginner", interests=("sql",))):
        assert ids(recommender.recommend([Learner(profile=profile)])[0])[0] == "c1"
    popular = recommender.with_popularity(popularity_of({"c0": {1: 9}, "c1": {1: 1}}))
    assert ids(popular.recommend([Learner(profile=Profile(level="beginner"))])[0])[0] == "c0"


def grown(checkerboard: Model, catalogue: dict[str, Course], new: int) -> Recommender:
    """Return the recommender of the checkerboard with new courses, the last of them published last."""
    day = datetime(2026, 1, 1, tzinfo=UTC)
    courses = [
        Course(course_id=f"new{i:02d}", title="recht" if i % 2 else "kochen", published_at=day + timedelta(days=i))
        for i in range(new)
    ]
    everything = catalogue | {course.course_id: course for course in courses}
    return Recommender(prepare(checkerboard), everything, popularity_of({f"a{i}": {1: 5} for i in range(8)}))


def test_a_list_holds_new_courses_near_to_the_learners_taste(
    checkerboard: Model, catalogue: dict[str, Course], enrolled_in: Callable[..., Learner]
) -> None:
    recommender = grown(checkerboard, catalogue, 20)
    without = Recommender(prepare(checkerboard), catalogue, popularity_of({}))
    learner = enrolled_in("b1")
    [found], [before] = recommender.recommend([learner], limit=14), without.recommend([learner], limit=14)
    new = [candidate for candidate in found.candidates if candidate.course_id.startswith("new")]
    assert len(found.candidates) == 14
    assert len(new) >= 2
    assert all(int(candidate.course_id[3:]) % 2 for candidate in new)  # on law, as the group b is
    assert ids(found)[:7] == ids(before)[:7]
    scores = [candidate.score for candidate in found.candidates]
    assert scores == sorted(scores, reverse=True)


def test_new_courses_below_the_first_places_are_called_new_and_have_no_cause(
    checkerboard: Model, catalogue: dict[str, Course], enrolled_in: Callable[..., Learner]
) -> None:
    [found] = grown(checkerboard, catalogue, 60).recommend([enrolled_in("a1")], limit=60)
    new = [place for place, candidate in enumerate(found.candidates) if candidate.source == Source.NEW]
    assert len(new) >= 3
    assert min(new) >= 7
    assert all(found.candidates[place].cause is None for place in new)


def test_where_no_taste_is_known_the_latest_new_courses_are_chosen(
    checkerboard: Model, catalogue: dict[str, Course]
) -> None:
    recommender = grown(checkerboard, catalogue, 20)
    [found] = recommender.recommend([Learner(profile=Profile(level="easy"))], limit=16)
    assert [course_id for course_id in ids(found) if course_id.startswith("new")] == ["new18", "new19"]
    assert {one.source for one in found.candidates if one.course_id.startswith("new")} == {Source.NEW}
    assert ids(found)[0] == "a0"


def test_new_courses_taken_retired_or_foreign_have_no_place(checkerboard: Model, catalogue: dict[str, Course]) -> None:
    new = {
        "new0": Course(course_id="new0", retired=True),
        "new1": Course(course_id="new1"),
        "new2": Course(course_id="new2", language="fr"),
        "new3": Course(course_id="new3", language="de"),
    }
    recommender = Recommender(prepare(checkerboard), catalogue | new, popularity_of({}))
    learner = Learner(taken=frozenset({"new1"}), profile=Profile(languages=("de",)))
    [found] = recommender.recommend([learner], limit=10)
    assert [course_id for course_id in ids(found) if course_id.startswith("new")] == ["new3"]


def test_a_list_of_one_is_left_to_the_best(checkerboard: Model, catalogue: dict[str, Course]) -> None:
    recommender = grown(checkerboard, catalogue, 20)
    assert [ids(found) for found in recommender.recommend([Learner(), Learner(queries=("sql",))], limit=1)] == [
        ["a0"],
        ["a0"],
    ]


@pytest.mark.parametrize(
    ("popular", "trending", "first"), [(1.0, 0.0, "a0"), (0.1, 1.0, "b0"), (0.0, 0.0, "a0"), (0.0, 1.0, "b0")]
)
def test_who_is_unknown_gets_what_is_popular_as_the_blend_weighs_it(
    checkerboard: Model, catalogue: dict[str, Course], popular: float, trending: float, first: str
) -> None:
    blend = Blend((0, 1), np.array([[9, 9, 9, popular, trending], [1, 1, 1, 0, 0]], dtype=np.float32))
    counts = {"a0": {1: 9}, "b0": {90: 3}, "b1": {90: 2}, "a1": {1: 4}}
    recommender = Recommender(prepare(replace(checkerboard, blend=blend)), catalogue, popularity_of(counts))
    [found] = recommender.recommend([Learner()], limit=12)
    assert ids(found)[0] == first
    assert {candidate.source for candidate in found.candidates} == {Source.POPULAR}
    shared = [candidate.course_id for candidate in cold(recommender, limit=12)[""]]
    told = [one.course_id for one in found.candidates if recommender.cold[recommender.course_ids.index(one.course_id)]]
    assert shared[: len(told)] == told  # below are those that tie at nothing


def test_of_a_course_that_nobody_took_only_its_text_speaks(
    checkerboard: Model, catalogue: dict[str, Course], enrolled_in: Callable[..., Learner]
) -> None:
    learner, taken = enrolled_in("a1"), np.array([course_id != "a0" for course_id in checkerboard.course_ids])
    assert checkerboard.neumf is not None
    bias = np.where(taken, 0.0, -9.0).astype(np.float32)  # as a rival in training that was never chosen
    neumf = replace(checkerboard.neumf, bias=bias)
    untold = replace(checkerboard, neumf=neumf, index=Index.build(neumf).to_bytes())
    parts = []
    for model in (untold, replace(untold, taken=taken)):
        recommender = Recommender(prepare(model), catalogue, Popularity())
        scored = recommender.components([learner])
        parts.append(scored.z[scored.courses == recommender.universe.index_of["a0"]][0])
    before, after = parts
    assert before[0] < -2
    assert after[:2].tolist() == [0.0, 0.0]
    assert after[2] == before[2] > 0
