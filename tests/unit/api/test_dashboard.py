"""What a learner's registers say of courses, and what unmerged writes add."""

from api.answers import LearnerCourse
from api.dashboard import learner_courses, status_of
from recommender.fold import FoldedLearner
from schemas.cards import Card
from schemas.events import Completed, Dropped, Enrolled, Graded, LearnerEvent, Progressed, Rated
from schemas.pending import Pending
from schemas.registers import Rank, split_record


def history(*events: LearnerEvent) -> dict[str, bytes]:
    folded = FoldedLearner()
    for event in events:
        folded.apply(event, appended_ms=10_000_000)
    return folded.records


def enrolled(at: int, course_id: str = "c") -> Enrolled:
    return Enrolled(event_id="e", user_id="u", course_id=course_id, occurred_at=at)


def dropped(at: int) -> Dropped:
    return Dropped(event_id="d", user_id="u", course_id="c", occurred_at=at)


def completed(at: int) -> Completed:
    return Completed(event_id="f", user_id="u", course_id="c", occurred_at=at)


RATED = Rated(event_id="r", user_id="u", course_id="c", occurred_at=3, value=4.5, review="good")


def test_status_follows_the_registers() -> None:
    cases = (
        ((enrolled(1),), "enrolled"),
        ((RATED,), "enrolled"),
        ((enrolled(1), dropped(2)), "dropped"),
        ((enrolled(1), dropped(2), enrolled(3)), "enrolled"),
        ((enrolled(1), completed(2)), "completed"),
        ((enrolled(1), completed(2), dropped(3)), "dropped"),
        ((enrolled(1), dropped(2), completed(3)), "completed"),
    )
    assert [status_of(split_record(history(*events)["c"])) for events, _ in cases] == [status for _, status in cases]


def test_a_course_shows_every_register() -> None:
    progressed = Progressed(event_id="p", user_id="u", course_id="c", occurred_at=2, value=0.3)
    graded = Graded(event_id="g", user_id="u", course_id="c", occurred_at=4.25, value=71)
    records = history(enrolled(1), progressed, RATED, graded)
    assert learner_courses(records, {}, {"c": Card("c", "Excel Basics")}) == (
        LearnerCourse(
            course_id="c",
            title="Excel Basics",
            status="enrolled",
            enrolled_at="1970-01-01T00:00:01.000000Z",
            progress=0.3,
            rating=4.5,
            rating_scale="1-5",
            review="good",
            grade=71.0,
            grade_scale="0-100",
            last_event_at="1970-01-01T00:00:04.250000Z",
        ),
    )


def test_the_newest_event_comes_first() -> None:
    courses = learner_courses(history(enrolled(1, "a"), enrolled(3, "b"), enrolled(2, "c")), {}, {})
    assert [(course.course_id, course.title) for course in courses] == [("b", "b"), ("c", "c"), ("a", "a")]


def test_unmerged_writes_show_at_once() -> None:
    records = history(enrolled(1, "a"), enrolled(2, "b"), enrolled(3, "c"), completed(4))
    pending = {
        "a": Pending(9, Rank.DROPPED),
        "b": Pending(9, Rank.FEEDBACK),
        "c": Pending(9, Rank.ENROLLED),
        "new": Pending(9, Rank.ENROLLED),
        "rated": Pending(9, Rank.RATED),
        "refused": Pending(9, Rank.FEEDBACK),
        "done": Pending(9, Rank.COMPLETED),
    }
    shown = {course.course_id: course.status for course in learner_courses(records, pending, {})}
    assert shown == {
        "a": "dropped", "b": "enrolled", "c": "completed", "new": "enrolled", "rated": "enrolled", "done": "completed",
    }  # fmt: skip
