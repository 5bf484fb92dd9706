"""What one learner may add to a training: nobody, least of all a program, shall make a model alone."""

from collections.abc import Collection, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.events import CourseEvent, LearnerEvent
from trainer.interactions import Interactions

_SEVERAL: Final = ""
"""Stands for more learners than one; no learner's id is empty."""


def known_courses(events: Sequence[LearnerEvent], catalogue: Collection[str]) -> list[LearnerEvent]:
    """Return the events without those on courses that only one learner has ever named and the catalogue does not know.

    >>> from schemas.events import Enrolled
    >>> def enrolled(user_id, course_id):
    ...     return Enrolled(event_id="e", user_id=user_id, course_id=course_id, occurred_at=5)
    >>> events = [enrolled("u", "in"), enrolled("u", "one"), enrolled("u", "two"), enrolled("v", "two")]
    >>> [event.course_id for event in known_courses(events, {"in"})]
    ['in', 'two', 'two']
    """
    named_by: dict[str, str] = {}
    for event in events:
        if isinstance(event, CourseEvent) and event.course_id not in catalogue:
            first = named_by.setdefault(event.course_id, event.user_id)
            if first != event.user_id:
                named_by[event.course_id] = _SEVERAL
    alone = {course_id for course_id, user_id in named_by.items() if user_id != _SEVERAL}
    return [event for event in events if not isinstance(event, CourseEvent) or event.course_id not in alone]


def newest_of_each(learner: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return the places of the last `most` of each learner; `learner` ascends, and is in time order for each.

    >>> newest_of_each(np.array([0, 0, 0, 1, 2, 2]), 2).tolist()
    [1, 2, 3, 4, 5]
    """
    ends = np.searchsorted(learner, learner, side="right")
    return np.flatnonzero(ends - np.arange(len(learner)) <= most)


def cap_targets(interactions: Interactions, most: int) -> Interactions:
    """Return the newest `most` enrolments of each learner as targets; what was taken stays taken."""
    return interactions.keep(newest_of_each(interactions.learner, most))
