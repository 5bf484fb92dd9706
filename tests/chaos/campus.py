"""What the learners of a run do: event number n is a function of the seed, n and the moment. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

Body = dict[str, Any]

COURSES: Final = 120
RETIRED: Final = frozenset(f"c{i}" for i in range(0, COURSES, 24))
"""Courses that are retired before anybody takes one: no list may show them."""
ERASED_EVERY: Final = 1_500
"""One event among so many erases a learner, who then stays away."""
_SUBJECTS: Final = ("spreadsheet formulas", "watercolour painting", "music theory", "network security")
_TYPES: Final = {
    "enrolled": 44, "dropped": 8, "progressed": 18, "completed": 6, "rated": 10, "graded": 3, "feedback": 7,
    "profile_updated": 2, "viewed": 2,
}  # fmt: skip
_LATE_SHARE: Final = 0.05
_LATE_DAYS: Final = 20


def catalogue() -> list[Body]:
    """Return the courses; the retired ones among them are still open."""
    return [
        {"course_id": f"c{i}", "title": f"Lesson {i} on {_SUBJECTS[i % 4]}", "category": _SUBJECTS[i % 4]}
        for i in range(COURSES)
    ]


@dataclass(frozen=True)
class Campus:
    """Learners who enrol, drop, come back, get on, rate, and are erased; some are much busier than others."""

    seed: int
    learners: int

    def event(self, number: int, now: datetime) -> Body:
        """Return one event. `now` is aware."""
        random = Random(f"{self.seed}:{number}")
        if number % ERASED_EVERY == ERASED_EVERY - 1:
            return self._body(random, "erased", f"u{number // ERASED_EVERY}", now)
        kind = random.choices(list(_TYPES), list(_TYPES.values()))[0]
        late = timedelta(days=random.uniform(0, _LATE_DAYS)) if random.random() < _LATE_SHARE else timedelta()
        body = self._body(random, kind, self._learner(random, number), now - late)
        return {**body, **_rest(random, kind, body["user_id"])}

    def _learner(self, random: Random, number: int) -> str:
        """Return a learner who is not erased by this event or one before."""
        index, erased = int(self.learners * random.random() ** 2), number // ERASED_EVERY + 1
        return f"u{index if index >= erased else index + self.learners}"

    def _body(self, random: Random, kind: str, user_id: str, at: datetime) -> Body:
        event_id = f"{random.getrandbits(128):032x}"
        return {"type": kind, "event_id": event_id, "user_id": user_id, "occurred_at": at.isoformat()}


def _course(random: Random, user_id: str) -> str:
    """Return a course of the half that a learner is interested in: something is left to recommend to the busiest."""
    return f"c{random.randrange(int(user_id[1:]) % 2, COURSES, 2)}"


def _rest(random: Random, kind: str, user_id: str) -> Body:
    """Return the fields that belong to one kind of event."""
    if kind == "profile_updated":
        return {"interests": random.sample(_SUBJECTS, 2)}
    course = {"course_id": _course(random, user_id)}
    match kind:
        case "progressed":
            return {**course, "value": round(random.random(), 3)}
        case "rated":
            return {**course, "value": random.randint(1, 5)}
        case "graded":
            return {**course, "value": random.randint(0, 100)}
        case "feedback":
            return {**course, "value": random.choice(("not_for_me", "useful", "none"))}
        case _:
            return course


def moments(now: datetime, count: int) -> Sequence[datetime]:
    """Return moments that differ, the last of them now: two events of a batch do not happen at once."""
    return [now - timedelta(microseconds=count - 1 - i) for i in range(count)]


def utc_now() -> datetime:
    """Return the present moment, aware."""
    return datetime.now(UTC)
