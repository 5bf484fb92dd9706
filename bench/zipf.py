"""Events whose learners and courses follow Zipf's law: a few do much, most do little. Equal seeds, equal events."""

import uuid
from collections.abc import Iterator
from itertools import accumulate
from random import Random
from typing import Any, Final

from schemas.courses import Course
from schemas.events import Completed, Enrolled, LearnerEvent, Progressed, Rated

COURSES: Final = 1_000
LEARNERS: Final = 50_000

_TYPES: Final = (Enrolled, Progressed, Rated, Completed)
_SHARES: Final = (0.6, 0.85, 0.95, 1.0)
"""Of enrolments, progress, ratings and completions, summed up."""
_VALUES: Final = {Progressed: (0.1, 0.5, 0.9), Rated: (2.0, 4.0, 5.0)}
_WORDS: Final = ("sql", "python", "history", "botany", "statistics", "welding", "french", "harmony")


def catalogue(courses: int = COURSES) -> list[Course]:
    """Return courses with a few words each, so that there is a text to compare."""
    words = len(_WORDS)
    return [
        Course(
            course_id=f"c{i:05}",
            title=f"{_WORDS[i % words]} and {_WORDS[i // words % words]} {i}",
            language="en" if i % 5 else "de",
            level=("easy", "medium", "hard")[i % 3],
        )
        for i in range(courses)
    ]


def zipf_events(
    number: int, now_s: int, learners: int = LEARNERS, courses: int = COURSES, seed: int = 1
) -> Iterator[LearnerEvent]:
    """Yield so many events, those of the hour before `now_s` (unix seconds).

    >>> [one.user_id for one in zipf_events(3, 1_750_000_000)] == [one.user_id for one in zipf_events(3, 1_750_000_000)]
    True
    """
    dice = Random(seed)
    by_learner, by_course = (list(accumulate(1.0 / rank for rank in range(1, n + 1))) for n in (learners, courses))
    for _ in range(number):
        kind = dice.choices(_TYPES, cum_weights=_SHARES)[0]
        value: dict[str, Any] = {"value": dice.choice(_VALUES[kind])} if kind in _VALUES else {}
        yield kind(
            event_id=str(uuid.UUID(int=dice.getrandbits(128))),
            user_id=f"u{dice.choices(range(learners), cum_weights=by_learner)[0]:06}",
            course_id=f"c{dice.choices(range(courses), cum_weights=by_course)[0]:05}",
            occurred_at=now_s - dice.randrange(3_600),
            **value,
        )
