"""A data set's answer and its page."""

from datetime import timedelta

import msgspec

from reports.exploration import explore
from reports.exploration_page import page_of
from schemas.courses import Course
from tests.unit.reports.frames import HOSTILE, MONDAY, campus, dataset
from tests.unit.reports.html import Page

NOW = MONDAY + timedelta(days=60)


def test_the_answer_counts_by_hand() -> None:
    answer = explore(campus(), "campus", NOW)
    assert answer["counts"] == {
        "courses": 4, "courses_with_events": 3, "courses_of_no_catalogue": 0, "learners": 3, "learners_with_events": 3,
        "learners_with_profile": 0, "events": 9, "first": "2026-01-04T09:00:00Z", "last": "2026-01-14T09:00:00Z",
    }  # fmt: skip
    assert answer["events_by_type"] == {"enrolled": 6, "completed": 1, "rated": 1, "searched": 1}
    assert answer["cleaning"] == {
        "rejected": 2,
        "rejects_by_reason": {"a.csv: rating: '…' is no number": 2},
        "findings": {"unreadable rows": 2},
    }
    assert msgspec.json.decode(msgspec.json.encode(answer)) == answer


def test_the_page_shows_all_of_it() -> None:
    page = Page(page_of(explore(campus(), HOSTILE, NOW)))
    page.check()
    sections = [attributes["id"] for attributes in page.all("section")]
    assert sections == [
        "events", "activity", "clock", "sparsity", "long-tail", "ratings", "catalogue", "prices", "late-popularity",
        "text", "outliers", "cleaning",
    ]  # fmt: skip
    assert "They know the future" in page.text
    assert "never used as features" in page.text
    assert "rating: '…' is no number" in page.text
    assert HOSTILE in page.text
    assert page.text.count("58.3 %") == 1  # sparsity: 7 of 12


def test_a_catalogue_alone_gives_what_it_can() -> None:
    courses = [Course(course_id="a", title="SQL", price=20, num_subscribers=3)]
    answer = explore(dataset([], courses), "catalogue", NOW)
    assert answer["activity"] is answer["clock"] is answer["sparsity"] is answer["long_tail"] is None
    page = Page(page_of(answer))
    page.check()
    sections = [attributes["id"] for attributes in page.all("section")]
    assert sections == ["catalogue", "prices", "late-popularity", "text", "outliers", "cleaning"]
    assert "events, activity over time, time of day, sparsity, long tail, ratings" in page.text


def test_an_empty_folder_is_a_page_too() -> None:
    page = Page(page_of(explore(dataset([]), "nothing", NOW)))
    page.check()
    assert "Nothing was dropped" in page.text
