"""The grades part of a model: too few grades, good ones, and grades that teach nothing."""

import random

import msgspec

from recommender.grades import Grader, sheet_of
from schemas.events import Graded
from tests.grade_school import courses, grades
from trainer.grades_part import GradesPart, fit_grades
from trainer.settings import TrainerSettings
from trainer.text import text_model

CATALOGUE = {course.course_id: course for course in courses()}
IDS = tuple(sorted(CATALOGUE))


def fitted(events: list[Graded], wanted: int = 100) -> GradesPart:
    settings = TrainerSettings(train_min_grades=wanted)
    return fit_grades(events, IDS, text_model(IDS, CATALOGUE), settings, seed=1)


def test_too_few_grades_make_no_model_and_say_so() -> None:
    part = fitted(list(grades(learners=10)), wanted=1_000)
    assert (part.net, part.metrics) == (None, {})
    assert part.reason == "80 grades are too few: 1000 are wanted (TRAIN_MIN_GRADES)"


def test_a_model_that_is_better_than_means_knows_who_is_good_at_what() -> None:
    part = fitted(list(grades()))
    assert part.net is not None
    assert part.metrics["grades_rmse"] < part.metrics["grades_rmse_bias"]
    index_of = {course_id: place for place, course_id in enumerate(IDS)}
    predicted = Grader(part.net).predict(sheet_of([("maths-0", 0.85), ("arts-1", 0.32)], index_of))
    assert predicted[index_of["maths-2"]] > 0.2 + predicted[index_of["arts-2"]]


def test_grades_that_teach_nothing_make_no_model() -> None:
    rng = random.Random(1)
    drawn = [msgspec.structs.replace(event, value=rng.choice([0, 100])) for event in grades(100)]
    part = fitted(drawn)
    assert part.net is None
    assert part.reason.endswith("of damped means (84 tests): worse")
    assert part.metrics["grades_rmse"] > part.metrics["grades_rmse_bias"]


def test_grades_of_one_moment_make_no_model() -> None:
    same = [msgspec.structs.replace(event, occurred_at=5) for event in grades(50)]
    part = fitted(same)
    assert part.net is None
    assert part.reason == "the grades are of too few moments to learn from earlier ones"
