"""A data set small enough to be counted by hand, with a course whose title wants to be a script."""

from datetime import UTC, datetime, timedelta
from typing import Any

from datasets.dataset import Dataset, Reject
from schemas.courses import Course
from schemas.events import AnyEvent, Completed, Enrolled, Rated, Searched

MONDAY = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
HOSTILE = "<script>alert('x')</script> & $a$ \"q\""


def enrolled(user: str, course: str, days: float = 0) -> Enrolled:
    """Return an enrolment so many days after `MONDAY`."""
    return Enrolled(event_id="e", user_id=user, course_id=course, occurred_at=MONDAY + timedelta(days=days))


def dataset(
    events: list[AnyEvent], courses: list[Course] | None = None, rejects: list[Reject] | None = None
) -> Dataset:
    """Return a data set of these, in the order of time."""
    ordered = sorted(events, key=lambda event: event.occurred_us)
    return Dataset(
        "canonical", courses or [], [], ordered, rejects or [], {"unreadable rows": len(rejects)} if rejects else {}
    )


def campus() -> Dataset:
    """Return three learners, four courses (one never taken, one without text) and nine events."""
    courses = [
        Course(course_id="a", title=HOSTILE, description="d" * 90, price=20, num_subscribers=700, category=HOSTILE),
        Course(course_id="b", title="Beta", price=0, num_subscribers=50, published_at=MONDAY + timedelta(days=30)),
        Course(course_id="c", title="Gamma", num_subscribers=5, num_reviews=0),
        Course(course_id="d"),
    ]
    about: dict[str, Any] = {"event_id": "e", "user_id": "u1", "course_id": "a"}
    events: list[AnyEvent] = [
        enrolled("u1", "a"),
        enrolled("u1", "b", 1),
        enrolled("u2", "a", 2),
        enrolled("u3", "a", 7),
        enrolled("u2", "c", 15 / 24 + 7),  # the midnight after
        enrolled("u1", "a", 8),
        Completed(**about, occurred_at=MONDAY - timedelta(days=1)),
        Rated(**about, occurred_at=MONDAY + timedelta(days=9), value=4),
        Searched(event_id="e", user_id="u3", occurred_at=MONDAY + timedelta(days=9), query="sql"),
    ]
    rejects = [Reject("a.csv", 2, "rating: 'x' is no number"), Reject("a.csv", 5, "rating: 'y' is no number")]
    return dataset(events, courses, rejects)
