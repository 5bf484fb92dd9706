"""Packed registers -> weighted histories."""

import pytest

from recommender.fold import FoldedLearner
from recommender.history import MAX_SIGNALS, Learner, Profile, learner_of
from schemas.activity import pack_moment, pack_searches
from schemas.events import (
    Completed,
    Dropped,
    Enrolled,
    Feedback,
    FeedbackValue,
    Graded,
    LearnerEvent,
    ProfileUpdated,
    Progressed,
    Rated,
)
from schemas.ids import event_uuid


def _learner(*events: LearnerEvent) -> Learner:
    folded = FoldedLearner()
    for event in events:
        folded.apply(event, 10_000_000)
    return folded.learner()


def _enrolled(course_id: str = "c", at: int = 1) -> Enrolled:
    return Enrolled(event_id=f"e{at}", user_id="u", course_id=course_id, occurred_at=at)


def _rated(value: float) -> Rated:
    return Rated(event_id="r", user_id="u", course_id="c", occurred_at=2, value=value)


def _feedback(value: FeedbackValue, at: int = 3) -> Feedback:
    return Feedback(event_id=f"f{at}", user_id="u", course_id="c", occurred_at=at, value=value)


def _weight(*events: LearnerEvent) -> float:
    return _learner(*events).entries[0].weight


def test_weight_rises_with_progress_and_completion() -> None:
    half = Progressed(event_id="p", user_id="u", course_id="c", occurred_at=2, value=0.5)
    done = Completed(event_id="d", user_id="u", course_id="c", occurred_at=3)
    weights = [_weight(_enrolled()), _weight(_enrolled(), half), _weight(_enrolled(), half, done)]
    assert weights == [1.0, 1.125, 1.5]


def test_rating_and_grade_weigh_by_their_place_on_the_scale() -> None:
    assert _weight(_enrolled(), _rated(5)) == 1.5
    assert _weight(_enrolled(), _rated(3)) == 0.5
    assert _weight(_enrolled(), _rated(1)) == -0.5
    grade = Graded(event_id="g", user_id="u", course_id="c", occurred_at=2, value=100)
    assert _weight(_enrolled(), grade) == 1.5


def test_a_course_only_rated_counts_as_taken() -> None:
    learner = _learner(_rated(5))
    assert learner.taken == {"c"}
    assert learner.entries[0].weight == 1.5


def test_dropping_leaves_little_weight_but_the_course_stays_taken() -> None:
    learner = _learner(_enrolled(), Dropped(event_id="d", user_id="u", course_id="c", occurred_at=2))
    assert 0 < learner.entries[0].weight < 0.5
    assert learner.taken == {"c"}


@pytest.mark.parametrize(("value", "sign"), [("not_for_me", -1), ("useful", 1)])
def test_feedback_alone_gives_an_entry_that_is_not_taken(value: FeedbackValue, sign: int) -> None:
    learner = _learner(_feedback(value))
    assert learner.entries[0].weight * sign > 0
    assert learner.taken == frozenset()
    assert learner.refused == ({"c"} if sign < 0 else frozenset())


def test_refusal_holds_until_undone() -> None:
    learner = _learner(_feedback("not_for_me", 3), _feedback("none", 4))
    assert learner == Learner()


def test_entries_are_ordered_by_enrolment_not_by_later_registers() -> None:
    rated = Rated(event_id="r", user_id="u", course_id="first", occurred_at=50, value=4)
    learner = _learner(rated, _enrolled("second", 2), _enrolled("first", 1))
    assert [entry.course_id for entry in learner.entries] == ["first", "second"]
    assert learner.entries[0].occurred_us == 1_000_000
    assert learner.entries[0].event_id == event_uuid("e1")


def test_profile_is_read_field_by_field() -> None:
    old = ProfileUpdated(event_id="p1", user_id="u", occurred_at=1, interests=("sql",), level="beginner")
    new = ProfileUpdated(event_id="p2", user_id="u", occurred_at=2, languages=("en", "fr"), interests=())
    assert _learner(old, new).profile == Profile(languages=("en", "fr"), level="beginner")


def test_signals_are_the_newest_courses_not_in_the_history() -> None:
    activity = {f"v:x{i}": pack_moment(i) for i in range(30)}
    activity |= {"c:x29": pack_moment(1), "c:taken": pack_moment(99), "s:shown": pack_moment(99)}
    folded = FoldedLearner()
    folded.apply(_enrolled("taken"), 10_000)
    learner = learner_of(folded.records, activity=activity | {"q": pack_searches([(1, "sql"), (2, "excel")])})
    assert [course_id for course_id, _ in learner.signals] == [f"x{i}" for i in range(29, 29 - MAX_SIGNALS, -1)]
    assert learner.signals[0][1] > learner.signals[1][1]
    assert learner.queries == ("excel", "sql")
