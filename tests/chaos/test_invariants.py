"""The readers' checks do find what they are there for: each is shown an answer with one fault planted in it."""

from typing import Any

import pytest

from tests.chaos.campus import RETIRED
from tests.chaos.invariants import Promises, StateVersions, complaints_of_list, complaints_of_page

RETIRED_COURSE = min(RETIRED)


def listed(*course_ids: str, **changes: Any) -> dict[str, Any]:
    """Return a list of recommendations as the API answers it."""
    items = [{"course_id": course_id, "title": "t", "score": 1.0, "reasons": []} for course_id in course_ids]
    return {
        "user_id": "u1", "strategy": "hybrid", "items": items, "model_version": "m-1", "generated_at": None,
        "state_version": "learner-events:0:7", "age_s": 0.0, "lag": 0, "degraded": False, **changes,
    }  # fmt: skip


def page(*course_ids: str, **changes: Any) -> dict[str, Any]:
    """Return a learner's page as the API answers it."""
    courses = [{"course_id": course_id} for course_id in course_ids]
    return {"user_id": "u1", "courses": courses, "state_version": "learner-events:0:7", "degraded": False, **changes}


PROMISES = Promises(frozenset({"c1"}), {"c2": 7, "c3": 8}, frozenset({"c4"}))


def test_a_good_list_is_not_complained_of() -> None:
    assert complaints_of_list(listed("c3", "c5"), "u1", PROMISES) == []  # c3 is newer than the list, and was not pended


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (listed("c5", "c1"), "taken or refused"),
        (listed("c5", "c2"), "taken or refused"),
        (listed("c5", "c4"), "taken or refused"),
        (listed("c5", "c6", "c5"), "twice"),
        (listed(), "empty"),
        (listed("c5", RETIRED_COURSE), "retired"),
        (listed("c5", user_id="u2"), "the list of u2"),
        ({"items": []}, "missing"),
        (listed("c5", items=[{"course_id": "c5"}]), "missing"),
    ],
)
def test_a_bad_list_is_complained_of(answer: dict[str, Any], said: str) -> None:
    assert any(said in complaint for complaint in complaints_of_list(answer, "u1", PROMISES))


def test_a_degraded_list_may_be_empty_and_know_nothing_of_the_learner_but_no_course_stands_in_it_twice() -> None:
    assert complaints_of_list(listed(degraded=True), "u1", PROMISES) == []
    assert complaints_of_list(listed("c1", degraded=True), "u1", PROMISES) == []
    assert complaints_of_list(listed("c5", "c5", degraded=True), "u1", PROMISES)


def test_half_a_history_must_say_that_it_is_degraded() -> None:
    assert complaints_of_page(page("c1", "c9"), "u1", PROMISES) == []
    assert complaints_of_page(page("c9"), "u1", PROMISES) == ["acknowledged and not shown: ['c1']"]
    assert complaints_of_page(page(degraded=True), "u1", PROMISES) == []
    assert complaints_of_page(page("c1", user_id="u2"), "u1", PROMISES)


def test_a_whole_answer_never_shows_an_older_state_than_one_before_it() -> None:
    versions = StateVersions()
    assert versions.complaints("u1", listed(state_version="learner-events:0:7,activity:0:99")) == []
    assert versions.complaints("u2", listed(state_version="learner-events:0:3")) == []
    assert versions.complaints("u1", listed(state_version="", degraded=True)) == []
    assert versions.complaints("u1", listed(state_version="learner-events:0:6"))
    assert versions.complaints("u1", listed(state_version="learner-events:0:7")) == []
