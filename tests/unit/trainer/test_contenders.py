"""One suite for every model by name: on a checkerboard, where what is right is known."""

import re
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from recommender.content import nearest
from recommender.history import Learner
from schemas.courses import Course
from schemas.events import AnyEvent, Enrolled
from tests.unit.trainer.campus import DAY_S, checkerboard, enrolled
from trainer.cases import Case, blocks_of
from trainer.contender import Contender
from trainer.contenders import CONTENDERS
from trainer.interactions import interactions_of
from trainer.known import Known
from trainer.population import Population
from trainer.settings import TrainerSettings
from trainer.text import text_model

SETTINGS: Final = TrainerSettings(train_dimensions=8, train_epochs=16, train_learning_rate=0.02)
COURSES: Final = tuple(
    Course(course_id=f"c{i:02}", title=f"{('white', 'black')[i % 2]} title{i}", retired=i == 38) for i in range(40)
)
RETIRED: Final = "c38"
LATER_S: Final = 400 * DAY_S


def documented() -> Any:
    """Return the model that CONTRIBUTING shows how to add."""
    text = (Path(__file__).parents[3] / "CONTRIBUTING.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    return names["Followed"]


MODELS: Final[dict[str, Callable[[], Contender]]] = {**CONTENDERS, "documented": documented()}
BY_HISTORY: Final = [name for name in MODELS if name not in ("popular", "neumf_id")]
"""Whose answer follows from the history, also of one who came after the fit."""

every_model = pytest.mark.parametrize("name", MODELS)


@cache
def known(seed: int = 1) -> Known:
    """Return all of a checkerboard whose courses say their colour, validated on its last tenth."""
    events = sorted(checkerboard(learners=160), key=lambda event: event.occurred_us)
    catalogue = {course.course_id: course for course in COURSES}
    population, cases = Population(), []
    for place, event in enumerate(events):
        if place >= 0.9 * len(events) and isinstance(event, Enrolled):
            cases.append(Case(population.learner(event.user_id), event.course_id, event.occurred_us))
        population.apply(event)
    interactions = interactions_of(sorted(events, key=lambda event: event.user_id), catalogue)
    text = text_model(interactions.course_ids, catalogue)
    validation = list(blocks_of(cases, interactions))
    moments = events[-1].occurred_us + 1, cases[0].occurred_us
    return Known(
        interactions, text, nearest(text.rows), catalogue, SETTINGS, seed, *moments, validation, population
    )  # fmt: skip


@cache
def model_of(name: str, seed: int = 1) -> Contender:
    """Return a model that learns no more; its fit takes long."""
    model = MODELS[name]()
    model.fit(known(seed))
    return model


def learning(name: str, folder: Path) -> tuple[Contender, Population]:
    """Return a model that may learn, and the learners as they stand."""
    model, population = MODELS[name](), deepcopy(known().population)
    model_of(name).save(folder)
    model.load(folder, replace(known(), population=population))
    return model, population


def learners() -> list[Learner]:
    """Return learners of both colours, and one of whom nothing is known."""
    return [known().population.learner(user_id) for user_id in (*(f"u{i}" for i in range(12)), "nobody")]


def listed(model: Contender, learners: Sequence[Learner], limit: int = 40) -> list[list[str]]:
    """Return the ids of the courses in each list."""
    return [[one.course_id for one in found.candidates] for found in model.recommend(learners, limit)]


def colours(course_ids: Sequence[str]) -> list[int]:
    """Return the colour of each course."""
    return [int(course_id[1:]) % 2 for course_id in course_ids]


@pytest.mark.parametrize("name", [name for name in MODELS if name != "popular"])
def test_recommended_are_courses_of_the_own_colour(name: str) -> None:
    for i, courses in enumerate(listed(model_of(name), learners()[:-1], 5)):
        assert colours(courses) == [i % 2] * 5, i


def test_popular_courses_come_in_the_order_of_their_learners() -> None:
    counts = np.bincount(known().interactions.course, minlength=40)
    (courses,) = listed(model_of("popular"), [Learner()])
    assert len(courses) == 39
    assert [counts[int(one[1:])] for one in courses] == sorted(np.delete(counts, 38), reverse=True)


@every_model
def test_similar_courses_are_of_the_same_colour(name: str) -> None:
    for course_id in ("c00", "c07", "c20"):
        found = model_of(name).similar(course_id, 5)
        assert colours([one.course_id for one in found]) == colours([course_id]) * 5
        assert not {course_id, RETIRED} & {one.course_id for one in found}
        assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert model_of(name).similar("nowhere", 5) == ()


@every_model
def test_no_list_holds_what_is_taken_refused_or_retired(name: str) -> None:
    fussy = replace(learners()[0], refused=frozenset({"c02", "c03"}))
    own = [fussy, *learners()]
    for learner, courses in zip(own, listed(model_of(name), own), strict=True):
        left = {course.course_id for course in COURSES} - learner.taken - learner.refused - {RETIRED}
        assert set(courses) == left
        assert len(courses) == len(left)


@every_model
def test_scores_are_those_of_the_lists(name: str) -> None:
    model, own = model_of(name), learners()
    scores = model.scores(own)
    assert scores.shape == (len(own), len(model.course_ids))
    assert scores.dtype == np.float32
    for row, found in zip(scores, model.recommend(own, 40), strict=True):
        by_id = dict(zip(model.course_ids, row.tolist(), strict=True))
        assert {course_id for course_id, score in by_id.items() if score > -np.inf} == {
            one.course_id for one in found.candidates
        }
        assert [by_id[one.course_id] for one in found.candidates] == pytest.approx(
            [one.score for one in found.candidates], abs=1e-5
        )


@every_model
def test_a_batch_is_answered_like_one_by_one(name: str) -> None:
    model, own = model_of(name), learners()
    assert listed(model, own, 10) == [courses for one in own for courses in listed(model, [one], 10)]
    alone = np.vstack([model.scores([one]) for one in own])
    np.testing.assert_allclose(model.scores(own), alone, rtol=1e-4, atol=1e-5)
    assert model.recommend([], 10) == []
    assert model.scores([]).shape == (0, 40)


@every_model
def test_who_has_no_history_gets_an_answer(name: str) -> None:
    stranger = Learner(user_id="nobody")
    unknown = Learner(entries=(learners()[0].entries[0]._replace(course_id="elsewhere"),), user_id="nobody")
    courses, others = listed(model_of(name), [stranger, unknown], 10)
    assert len(set(courses)) == len(set(others)) == 10
    if name != "neumf":  # it has learned who has no history
        assert courses == listed(model_of("popular"), [stranger], 10)[0]


@every_model
def test_a_model_that_was_saved_answers_as_before(name: str, tmp_path: Path) -> None:
    loaded, _ = learning(name, tmp_path)
    assert listed(loaded, learners()) == listed(model_of(name), learners())
    np.testing.assert_allclose(loaded.scores(learners()), model_of(name).scores(learners()), atol=1e-4)
    assert loaded.similar("c00", 5) == model_of(name).similar("c00", 5)


@every_model
def test_a_seed_fixes_the_answer(name: str) -> None:
    again = MODELS[name]()
    again.fit(replace(known()))
    np.testing.assert_array_equal(again.scores(learners()), model_of(name).scores(learners()))


@every_model
def test_what_was_learned_changes_the_answer(name: str, tmp_path: Path) -> None:
    model, population = learning(name, tmp_path)
    events: list[AnyEvent] = [
        enrolled("newcomer", course, LATER_S + i) for i, course in enumerate(("c01", "c05", "c09"))
    ]
    before = listed(model, [population.learner("newcomer")], 5)
    for event in events:
        population.apply(event)
        model.learn(event)
    (after,) = listed(model, [population.learner("newcomer")], 5)
    assert not {"c01", "c05", "c09"} & set(after)
    if name in BY_HISTORY:
        assert [after] != before
        assert colours(after) == [1] * 5


@every_model
def test_a_course_that_everybody_takes_becomes_popular(name: str, tmp_path: Path) -> None:
    model, population = learning(name, tmp_path)
    stranger = [Learner(user_id="nobody")]
    (before,) = listed(model, stranger)
    for i in range(50):
        model.learn(enrolled(f"new{i}", before[-1], LATER_S + i))
        model.learn(enrolled(f"new{i}", before[-1], LATER_S + i))  # as every event, it may come twice
    (after,) = listed(model, stranger)
    assert population.popularity().popular[before[-1]] == 1.0
    assert after[0] == before[-1] or name == "neumf"  # it has learned who has no history
