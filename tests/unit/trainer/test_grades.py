"""Grades as arrays, and the network that is trained on them: what stood before, and nothing of what came later."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from recommender.grades import Grader, sheet_of
from schemas.events import Graded, Rated
from tests.grade_school import courses, grades
from trainer.grades import Grades, grades_of
from trainer.grades_fit import GradesFitter, dropped_of, expected_of, features_of, sheets_of
from trainer.text import text_model

CATALOGUE = {course.course_id: course for course in courses()}
IDS = sorted(CATALOGUE)
FEATURES = features_of(text_model(IDS, CATALOGUE))


def graded(user_id: str, course_id: str, day: int, value: float, scale: str = "0-100") -> Graded:
    return Graded(
        event_id=f"{user_id}{course_id}{day}", user_id=user_id, course_id=course_id, occurred_at=86_400 * day,
        value=value, scale=scale,
    )  # fmt: skip


def test_grades_are_fractions_in_the_order_of_time() -> None:
    found = grades_of(
        [graded("b", "y", 3, 50), graded("a", "y", 2, 4, "1-5"), graded("a", "x", 1, 100), graded("a", "?", 0, 1)],
        ("x", "y"),
    )
    assert (found.learner.tolist(), found.course.tolist()) == ([0, 0, 1], [0, 1, 1])
    assert found.value.tolist() == [1.0, 0.75, 0.5]


def test_of_several_grades_in_a_course_the_last_counts() -> None:
    found = grades_of([graded("a", "x", 2, 90), graded("a", "x", 1, 10)], ("x",))
    assert found.value.tolist() == pytest.approx([0.9])


def test_grades_of_one_moment_do_not_know_of_each_other() -> None:
    events = [graded("a", "x", 1, 10), graded("a", "y", 2, 20), graded("a", "z", 2, 30), graded("b", "x", 3, 40)]
    found = grades_of(events, ("x", "y", "z"))
    assert [found.sheet(row).courses.tolist() for row in range(4)] == [[], [0], [0], []]
    assert [group.tolist() for group in found.groups(np.array([0, 1, 2, 3]))] == [[0], [1, 2], [3]]


def test_ratings_are_read_on_demand_alone() -> None:
    event = Rated(event_id="e", user_id="u", course_id="x", occurred_at=1, value=4)
    assert (len(grades_of([event], ("x",))), grades_of([event], ("x",), Rated).value.tolist()) == (0, [0.75])


@pytest.fixture(scope="module")
def school() -> Grades:
    return grades_of(grades(), IDS)


@pytest.fixture(scope="module")
def fitter(school: Grades) -> GradesFitter:
    return GradesFitter(school, FEATURES, seed=1)


def test_numpy_predicts_what_torch_was_trained_to(school: Grades, fitter: GradesFitter) -> None:
    rows = np.arange(400)
    _, network, expected = next(fitter._epochs(rows))
    tests = np.arange(400, 700)
    with torch.no_grad():
        theirs = network(
            sheets_of(school, tests, expected.mean),
            torch.from_numpy(school.course[tests]),
            network.is_known.float(),
        ).clamp(0, 1)
    grader = Grader(fitter.fit(rows, 1))
    ours = [grader.predict(school.sheet(row), school.course[[row]])[0] for row in tests]
    assert ours == pytest.approx(theirs.tolist(), abs=1e-5)


def test_a_sheet_equals_the_history_of_one_who_was_never_seen(school: Grades, fitter: GradesFitter) -> None:
    grader = Grader(fitter.fit(np.arange(400), 2))
    row = 409
    index_of = {course_id: place for place, course_id in enumerate(IDS)}
    before = school.sheet(row)
    sheet = [(IDS[course], float(grade)) for course, grade in zip(before.courses, before.grades, strict=True)]
    assert len(sheet) > 0
    assert grader.predict(sheet_of(sheet, index_of)).tolist() == grader.predict(before).tolist()


def other_future(school: Grades, moment: int) -> Grades:
    later = school.occurred_us >= moment
    return replace(school, value=np.where(later, 1 - school.value, school.value))


def test_nothing_of_the_future_is_used(school: Grades, fitter: GradesFitter) -> None:
    """Turning every later grade upside down changes neither what is fitted before nor what is predicted then."""
    moment = int(np.quantile(school.occurred_us, 0.6))
    past = np.flatnonzero(school.occurred_us < moment)
    changed = other_future(school, moment)
    one, other = fitter.fit(past, 2), GradesFitter(changed, FEATURES, seed=1).fit(past, 2)
    assert all(np.array_equal(getattr(one, name), getattr(other, name)) for name in one.__dataclass_fields__)
    then = np.flatnonzero(school.occurred_us == school.occurred_us[school.occurred_us >= moment].min())
    for row in then:
        assert school.sheet(row).grades.tolist() == changed.sheet(row).grades.tolist()


def test_equal_seeds_equal_arrays(school: Grades, fitter: GradesFitter) -> None:
    rows = np.arange(300)
    one, again = fitter.fit(rows, 1), fitter.fit(rows, 1)
    other = GradesFitter(school, FEATURES, seed=2).fit(rows, 1)
    assert np.array_equal(one.history, again.history)
    assert not np.array_equal(one.history, other.history)


def test_a_course_without_grades_is_expected_to_be_like_those_with_its_text() -> None:
    """Of two courses nobody was graded in, the one with the text of a hard course is expected to be harder."""
    events = [graded(f"u{i}", "hard", i, 20) for i in range(20)] + [
        graded(f"u{i}", "easy", 50 + i, 90) for i in range(20)
    ]
    found = grades_of(events, ("hard", "easy", "like hard", "like easy"))
    features = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], dtype=np.float32)
    mean = expected_of(found, np.arange(40), features).mean
    assert mean[0] < mean[2] < mean[3] < mean[1]
    assert mean[0] == pytest.approx(0.2, abs=0.05)


def test_courses_go_without_their_own_part_as_often_as_new_ones_come() -> None:
    """Each year new courses, or the same ones, or every fourth a new one."""

    def dropped(course_of: Callable[[int], int]) -> float:
        events = [graded(f"u{i}", f"c{course_of(i)}", i, 50) for i in range(80)]
        found = grades_of(events, [f"c{number}" for number in range(80)])
        return dropped_of(found, np.arange(len(found)))

    assert dropped(lambda i: i // 4) == 0.5
    assert dropped(lambda i: i % 4) == 0.1
    assert dropped(lambda i: i if i >= 40 and i % 4 == 0 else i % 4) == pytest.approx(0.25)
