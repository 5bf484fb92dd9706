"""What learners of the simulated campus do: look down a list, search, stumble on a course, and what becomes of it."""

import random
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from datasets.campus import Campus, Past
from datasets.campus_courses import CampusCourse
from datasets.campus_learners import CampusLearner
from datasets.campus_topics import SUBJECTS

Body = dict[str, Any]
"""An event without its learner, id and moment."""

PATIENCE: Final = 0.85
"""Chance to look at one more course of a list."""

_ACCEPTED: Final = 0.3
_BLUR: Final = 0.12
"""Learners judge a course before they took it: with so much error."""
_REFUSED: Final = 0.05
_REFUSING: Final = 0.08
_NOTICED: Final = 4
_SIGNALLED: Final = 0.3


class Visit(NamedTuple):
    """What came of a visit: the events at once, the course that was enrolled in, how satisfied it will leave."""

    bodies: tuple[Body, ...]
    chosen: CampusCourse | None = None
    satisfaction: float = 0.0


class Later(NamedTuple):
    """An event that follows an enrolment after some days."""

    days: float
    body: Body


class Visitor:
    """A learner on a day, with dice."""

    def __init__(self, campus: Campus, learner: CampusLearner, past: Past, day: float, draw: random.Random) -> None:
        self._campus, self._learner, self._past, self._day, self._draw = campus, learner, past, day, draw

    def look_down(self, listed: Sequence[CampusCourse]) -> Visit:
        """Look down a list and enrol in what seems best, if it seems good enough; sometimes refuse what does not."""
        looked = listed[: how_far(len(listed), self._draw)]
        visit = self._choose(looked, "clicked")
        seen = [(self._appeal(course), course) for course in looked if course is not visit.chosen]
        worst = min(seen, key=lambda pair: pair[0], default=None)
        if worst and worst[0] < _REFUSED and self._draw.random() < _REFUSING:
            refusal = {"type": "feedback", "course_id": worst[1].course_id, "value": "not_for_me"}
            return visit._replace(bodies=(*visit.bodies, refusal))
        return visit

    def search(self) -> Visit:
        """Search for a topic by taste, and enrol in one of its courses."""
        tastes = self._campus.tastes(self._learner, self._day)
        topic = self._draw.choices(list(tastes), [taste * taste for taste in tastes.values()])[0]
        found = [course for course in self._campus.choices(self._past, self._day) if course.topic == topic]
        subject = next(subject for subject, topics in SUBJECTS.items() if topic in topics)
        words = topic if self._draw.random() < 0.5 else f"{topic} {self._draw.choice(SUBJECTS[subject][topic])}"
        visit = self._choose(sorted(found, key=lambda course: -course.fame))
        return visit._replace(bodies=({"type": "searched", "query": words}, *visit.bodies))

    def stumble(self) -> Visit:
        """Come across some courses by chance, the famous ones more often, and perhaps enrol in one."""
        choices = self._campus.choices(self._past, self._day)
        if not choices:
            return Visit(())
        return self._choose(self._draw.choices(choices, [course.fame for course in choices], k=_NOTICED))

    def _appeal(self, course: CampusCourse) -> float:
        return self._campus.satisfaction(self._learner, self._past, course, self._day)

    def _choose(self, looked: Sequence[CampusCourse], signal: str = "viewed") -> Visit:
        judged = [(self._appeal(course) + self._draw.gauss(0.0, _BLUR), course) for course in looked]
        seeming, course = max(judged, key=lambda pair: pair[0], default=(0.0, None))
        if course is None:
            return Visit(())
        about = {"course_id": course.course_id}
        noticed = ({"type": signal, **about},) if self._draw.random() < _SIGNALLED else ()
        if seeming < _ACCEPTED:
            return Visit(noticed if seeming > _ACCEPTED / 2 else ())
        return Visit((*noticed, {"type": "enrolled", **about}), course, self._appeal(course))


def how_far(length: int, draw: random.Random) -> int:
    """Return how many courses of a list are looked at: the first always, each further one with `PATIENCE`."""
    looked = min(length, 1)
    while looked < length and draw.random() < PATIENCE:
        looked += 1
    return looked


def what_follows(course_id: str, satisfaction: float, draw: random.Random) -> list[Later]:
    """Return what becomes of an enrolment: progress, and then completion or a drop, and ratings, by satisfaction."""
    about = {"course_id": course_id}
    begun, ended = draw.uniform(0.2, 1.5), draw.uniform(1.6, 5.0)
    if satisfaction < 0.35 and draw.random() < 0.6:
        later = [Later(ended, {"type": "dropped", **about})]
    elif draw.random() < 0.3 + 0.65 * satisfaction:
        later = [Later(ended, {"type": "completed", **about})]
    else:
        later = [Later(begun, {"type": "progressed", **about, "value": round(draw.uniform(0.1, 0.9), 2)})]
    if draw.random() < 0.5:
        stars = min(max(round(1.0 + 4.5 * satisfaction + draw.gauss(0.0, 0.5)), 1), 5)
        later.append(Later(ended + 0.1, {"type": "rated", **about, "value": stars}))
    if satisfaction < 0.2 and draw.random() < 0.25:
        later.append(Later(ended + 0.2, {"type": "feedback", **about, "value": "not_for_me"}))
    return later
