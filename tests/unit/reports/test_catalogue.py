"""What a catalogue says, counted by hand."""

import pytest

from reports.catalogue import completeness, groups, late_popularity, prices, text
from reports.frames import frames_of
from schemas.courses import Course
from tests.unit.reports.frames import HOSTILE, campus, dataset

CAMPUS = frames_of(campus())


def test_fields_that_no_course_has_are_left_out() -> None:
    assert completeness(CAMPUS.courses) == {
        "title": 0.75, "description": 0.25, "category": 0.25, "price": 0.5, "published_at": 0.25,
        "num_subscribers": 0.75, "num_reviews": 0.25,
    }  # fmt: skip
    assert groups(CAMPUS.courses) == {"category": {HOSTILE: 1}}


def test_free_is_a_price_and_unknown_is_none() -> None:
    found = prices(CAMPUS.courses)
    assert found is not None
    assert (found["known"], found["free"], found["paid"]["median"], found["count"]) == (2, 1, 20, [1])
    free = prices(frames_of(dataset([], [Course(course_id="a", price=0)])).courses)
    assert free == {"known": 1, "free": 1, "paid": None, "from": [], "count": []}
    assert prices(frames_of(dataset([], [Course(course_id="a")])).courses) is None


def test_counts_of_the_end_are_ranked_against_the_events() -> None:
    """Subscribers 700, 50, 5 stand beside 3, 1, 1 learners; the course without a count is left out."""
    found = late_popularity(CAMPUS)
    assert list(found) == ["num_subscribers", "num_reviews"]
    subscribers = found["num_subscribers"]
    assert subscribers["by_magnitude"] == [0, 1, 1, 1, 0, 0, 0]
    assert subscribers["rank_correlation"] == pytest.approx(0.866, abs=1e-3)
    assert subscribers["most"][0] == {"course_id": "a", "title": HOSTILE, "count": 700}
    assert found["num_reviews"]["by_magnitude"] == [1, 0, 0, 0, 0, 0, 0]
    assert found["num_reviews"]["rank_correlation"] is None


@pytest.mark.parametrize(
    ("count", "place"),
    [
        (0, 0),
        (1, 1),
        (9, 1),
        (10, 2),
        (99, 2),
        (100, 3),
        (9_999, 4),
        (10_000, 5),
        (99_999, 5),
        (100_000, 6),
        (10**9, 6),
    ],
)
def test_a_count_is_of_its_order_of_magnitude(count: int, place: int) -> None:
    found = late_popularity(frames_of(dataset([], [Course(course_id="a", num_reviews=count)])))
    assert found["num_reviews"]["by_magnitude"] == [int(number == place) for number in range(7)]


def test_courses_without_text_are_named() -> None:
    found = text(CAMPUS.courses)
    assert found is not None
    assert (found["without_text"], found["without_text_ids"]) == (1, ["d"])
    assert (found["without_title"], found["without_description"]) == (1, 3)
    assert found["title_characters"]["min"] == 4
    assert found["description_characters"]["max"] == 90
    assert sum(found["count"]) == 4
    assert text(frames_of(dataset([])).courses) is None
