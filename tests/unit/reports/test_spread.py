"""Sparsity, long tail and ratings, counted by hand."""

from typing import Any

import pandas as pd
import pytest

from reports.frames import frames_of
from reports.quantiles import histogram
from reports.spread import long_tail, ratings, sparsity
from schemas.courses import Course
from schemas.events import AnyEvent, Graded, Rated
from tests.unit.reports.frames import MONDAY, campus, dataset, enrolled


def test_sparsity_counts_a_learner_and_course_once() -> None:
    found = sparsity(frames_of(campus()))
    assert found is not None
    assert (found["pairs"], found["learners"], found["courses"], found["counted"]) == (5, 3, 4, ["enrolled"])
    assert found["density"] == pytest.approx(5 / 12)
    assert found["sparsity"] == pytest.approx(7 / 12)
    assert found["courses_per_learner"]["max"] == 2
    assert found["learners_per_course"] == {
        "min": 1.0, "median": 1.0, "mean": 1.6667, "p90": 2.6, "p99": 2.96, "max": 3.0,
    }  # fmt: skip
    assert found["learners_with_one_course"] == 1


def test_where_nobody_enrols_whatever_takes_a_course_counts() -> None:
    graded = Graded(event_id="e", user_id="u1", course_id="a", occurred_at=MONDAY, value=70)
    found = sparsity(frames_of(dataset([graded, graded])))
    assert found is not None
    assert (found["pairs"], "graded" in found["counted"]) == (1, True)


def test_the_long_tail_counts_courses_that_nobody_takes() -> None:
    """Ten courses, eight of them never taken: of the five enrolments the first course has four."""
    events = [enrolled(f"u{number}", "c0") for number in range(4)] + [enrolled("u0", "c1")]
    found = long_tail(frames_of(dataset([*events], [Course(course_id=f"c{number}") for number in range(10)])))
    assert found is not None
    assert (found["courses"], found["never_taken"]) == (10, 8)
    assert (found["top_1_percent"], found["top_5_percent"], found["top_20_percent"]) == (0.8, 0.8, 1)
    assert found["gini"] == pytest.approx(0.86)  # all |x - y|: 2 (8 * 4 + 8 * 1 + 3) = 86, by 2 * 10 * 10 * mean 0.5
    assert len(found["curve"]) == 101
    assert [found["curve"][place] for place in (0, 5, 10, 20, 100)] == [0, 0.4, 0.8, 1, 1]


def test_of_courses_that_are_all_alike_the_top_fifth_has_a_fifth() -> None:
    found = long_tail(frames_of(dataset([enrolled("u", f"c{number}") for number in range(10)])))
    assert found is not None
    assert (found["top_20_percent"], found["gini"], found["never_taken"]) == (0.2, 0, 0)


def test_ratings_are_told_apart_by_scale() -> None:
    about: dict[str, Any] = {"event_id": "e", "user_id": "u1", "course_id": "a", "occurred_at": MONDAY}
    events: list[AnyEvent] = [
        *(Rated(**about, value=value) for value in (4, 5, 5)),
        Rated(**about, value=8, scale="1-10"),
        *(Graded(**about, value=value) for value in range(100)),
    ]
    grades, rated_to_ten, rated = ratings(frames_of(dataset(events)))
    assert (rated["from"], rated["count"], rated["mean"], rated["in_steps"]) == ([4, 5], [1, 2], 4.6667, False)
    assert (rated_to_ten["scale"], rated_to_ten["count"]) == ("1-10", [1])
    assert (grades["in_steps"], grades["from"][:3], grades["count"][:3], sum(grades["count"])) == (
        True, [0, 5, 10], [5, 5, 5], 100,
    )  # fmt: skip


def test_a_histogram_loses_nothing_above_its_last_step() -> None:
    found = histogram(pd.Series([1.0, 2.5, 7.0, 1_000_000.0]), 10.0)
    assert sum(found["count"]) == 4
    assert (found["from"][0], found["from"][-1], found["count"][-1]) == (1, 10, 1)


def test_a_value_stands_in_the_step_that_begins_with_it() -> None:
    """0.3 / 0.1 is a little less than 3."""
    tenths = pd.Series([number / 10 for number in range(26)])
    assert histogram(tenths, 2.5) == {"from": tenths.tolist(), "count": [1] * 26}
