"""The simulated campus: courses, learners, and the truth about who is satisfied with what. Nothing here is random
once it is made: equal seeds, equal campuses.
"""

import random
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from datasets.campus_courses import CampusCourse, make_courses
from datasets.campus_learners import CampusLearner, make_learners, make_space

_TOO_EASY: Final = (0.55, 0.3, 0.2)
_TOO_HARD: Final = (0.5, 0.2)
_FOREIGN: Final = 0.05
"""What is left of the satisfaction with a course in a language that the learner does not speak."""


@dataclass
class Past:
    """What a learner has done so far: courses taken and refused, and the rung climbed to in each topic."""

    taken: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    climbed: dict[str, int] = field(default_factory=dict)


class Campus:
    """Courses and learners whose true satisfaction is known."""

    def __init__(self, num_courses: int, num_learners: int, seed: int) -> None:
        self.seed = seed
        self._space = make_space(self.draw("space"))
        self.courses = {one.course_id: one for one in make_courses(num_courses, self.draw("courses"))}
        self.learners = {one.user_id: one for one in make_learners(num_learners, self._space, self.draw("learners"))}
        self._tastes: dict[str, tuple[int, dict[str, float]]] = {}

    def draw(self, what: str) -> random.Random:
        """Return the dice for one purpose, so that throws for one do not move those for another."""
        return random.Random(f"{self.seed} {what}")

    def active(self, day: float) -> list[CampusCourse]:
        """Return the courses that can be taken on a day."""
        return [course for course in self.courses.values() if course.is_active(day)]

    def tastes(self, learner: CampusLearner, day: float) -> dict[str, float]:
        """Return how much a learner likes each topic, 0 to 1; it drifts from day to day."""
        known = self._tastes.get(learner.user_id)
        if known is None or known[0] != int(day):
            known = self._tastes[learner.user_id] = int(day), self._space.tastes(learner.vector(int(day)))
        return known[1]

    def satisfaction(self, learner: CampusLearner, past: Past, course: CampusCourse, day: float) -> float:
        """Return how satisfied a learner would be with a course he took on a day, 0 to 1."""
        taste = self.tastes(learner, day)[course.topic]
        liking = taste + (1.0 - taste) * course.breadth
        spoken = 1.0 if course.language in learner.languages else _FOREIGN
        return liking * spoken * level_fit(learner, past, course) * (0.5 + 0.5 * course.quality)

    def oracle(self, learner: CampusLearner, past: Past, day: float) -> float:
        """Return the best satisfaction within reach: of all courses of that day, not taken and not refused."""
        return max((self.satisfaction(learner, past, one, day) for one in self.choices(past, day)), default=0.0)

    def choices(self, past: Past, day: float) -> list[CampusCourse]:
        """Return the courses that a learner may still take on a day."""
        gone: Collection[str] = past.taken | past.refused
        return [course for course in self.active(day) if course.course_id not in gone]


def level_fit(learner: CampusLearner, past: Past, course: CampusCourse) -> float:
    """Return how well a course's level suits a learner, 0 to 1: best is the rung above the highest one climbed.

    A rung that was not reached yet means that prerequisites are not met.
    """
    reached = max(past.climbed.get(course.topic, 0), learner.skill[course.subject])
    gap = course.level - reached
    if gap == 0:
        return 1.0
    return _TOO_HARD[gap - 1] if gap > 0 else _TOO_EASY[-gap - 1]
