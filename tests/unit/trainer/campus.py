"""A checkerboard campus: even learners take even courses, odd ones odd courses. What is right is known."""

import random
from collections.abc import Iterable

from schemas.courses import Course
from schemas.events import Completed, Enrolled, LearnerEvent
from trainer.log import Log, snapshot

DAY_S = 86_400
START_S = 1_700_000_000


def enrolled(user_id: str, course_id: str, second: int) -> Enrolled:
    """Return an enrolment; its id follows from its content."""
    return Enrolled(
        event_id=f"{user_id} {course_id} {second}", user_id=user_id, course_id=course_id, occurred_at=START_S + second
    )


def log_of(events: Iterable[LearnerEvent], courses: Iterable[Course] = ()) -> Log:
    """Return the log of events that were appended the moment they happened."""
    pairs = [(event, event.occurred_us // 1_000) for event in events]
    return snapshot(pairs, {course.course_id: course for course in courses}, {"learner-events": [len(pairs)]})


def courses(number: int = 40) -> list[Course]:
    """Return courses that have nothing in common by their text."""
    return [Course(course_id=f"c{i:02}", title=f"title{i}") for i in range(number)]


def checkerboard(learners: int = 80, number: int = 40, taken: int = 10, seed: int = 0) -> list[LearnerEvent]:
    """Return events: each learner takes `taken` courses of his colour in random order, and completes every other."""
    rng = random.Random(seed)
    events: list[LearnerEvent] = []
    for learner in range(learners):
        own = [i for i in range(number) if i % 2 == learner % 2]
        for i in rng.sample(own, taken):
            second = rng.randrange(365 * DAY_S)
            events.append(enrolled(f"u{learner}", f"c{i:02}", second))
            if i % 4 < 2:
                events.append(
                    Completed(
                        event_id=f"done {learner} {i}",
                        user_id=f"u{learner}",
                        course_id=f"c{i:02}",
                        occurred_at=START_S + second + 1,
                    )
                )
    return events
