"""Learners of the simulated campus: true tastes as vectors that drift, languages, what they know already."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from datasets.campus_courses import TOPICS
from datasets.campus_topics import SUBJECTS

Vector = tuple[float, ...]

DIMENSIONS: Final = 8
QUARTER_TURN_DAYS: Final = 360.0
"""A taste has turned into another one after so many days."""

_SUBJECT_WEIGHTS: Final = (0.22, 0.19, 0.15, 0.12, 0.10, 0.09, 0.07, 0.06)
_TOPIC_SPREAD: Final = 0.6
_OWN_SPREAD: Final = 0.5
_SLOPE: Final = 7.0
_MIDDLE: Final = 0.45
_DECLARING: Final = 0.35
_SPOKEN: Final[Mapping[tuple[str, ...], float]] = {
    ("English",): 0.7, ("English", "Spanish"): 0.14, ("English", "German"): 0.1, ("Spanish",): 0.04, ("German",): 0.02,
}  # fmt: skip


@dataclass(frozen=True)
class CampusLearner:
    """A learner: taste on day 0 and where it drifts, languages, the rung known of each subject, how often he comes.

    `declares`: whether he says in a profile what he likes.
    """

    user_id: str
    now: Vector
    later: Vector
    languages: tuple[str, ...]
    skill: Mapping[str, int]
    activity: float
    declares: bool

    def vector(self, day: float) -> Vector:
        """Return the taste on a day, of length 1."""
        angle = day / QUARTER_TURN_DAYS * math.pi / 2
        turned = zip(self.now, self.later, strict=True)
        return unit([math.cos(angle) * a + math.sin(angle) * b for a, b in turned])


def unit(values: Sequence[float]) -> Vector:
    """Return a vector of length 1.

    >>> unit([3.0, 4.0])
    (0.6, 0.8)
    """
    length = math.sqrt(sum(value * value for value in values)) or 1.0
    return tuple(value / length for value in values)


def _random_unit(draw: random.Random) -> Vector:
    return unit([draw.gauss(0.0, 1.0) for _ in range(DIMENSIONS)])


def _mix(*parts: tuple[float, Vector]) -> Vector:
    return unit([sum(weight * vector[i] for weight, vector in parts) for i in range(DIMENSIONS)])


@dataclass(frozen=True)
class Space:
    """Where subjects and topics lie: learners near a topic like it."""

    subjects: Mapping[str, Vector]
    topics: Mapping[str, Vector]

    def tastes(self, vector: Vector) -> dict[str, float]:
        """Return how much a taste likes each topic, 0 to 1."""
        return {
            topic: 1.0 / (1.0 + math.exp(-_SLOPE * (sum(map(float.__mul__, vector, place)) - _MIDDLE)))
            for topic, place in self.topics.items()
        }


def make_space(draw: random.Random) -> Space:
    """Return a space: each subject a direction, its topics around it."""
    subjects = {subject: _random_unit(draw) for subject in SUBJECTS}
    topics = {topic.name: _mix((1.0, subjects[topic.subject]), (_TOPIC_SPREAD, _random_unit(draw))) for topic in TOPICS}
    return Space(subjects, topics)


def make_learners(number: int, space: Space, draw: random.Random) -> tuple[CampusLearner, ...]:
    """Return `number` learners."""
    return tuple(_learner(f"learner-{i:04d}", space, draw) for i in range(number))


def _learner(user_id: str, space: Space, draw: random.Random) -> CampusLearner:
    liked = draw.choices(list(SUBJECTS), _SUBJECT_WEIGHTS, k=3)
    return CampusLearner(
        user_id=user_id,
        now=_taste(liked[:2], space, draw),
        later=_taste([liked[0], liked[2]], space, draw) if draw.random() < 0.5 else _taste(liked[2:], space, draw),
        languages=draw.choices(list(_SPOKEN), list(_SPOKEN.values()))[0],
        skill={subject: int(draw.random() < (0.5 if subject in liked else 0.15)) for subject in SUBJECTS},
        activity=draw.lognormvariate(0.0, 1.0),
        declares=draw.random() < _DECLARING,
    )


def _taste(liked: Sequence[str], space: Space, draw: random.Random) -> Vector:
    weights = (1.0, draw.uniform(0.2, 0.9))
    own = (_OWN_SPREAD, _random_unit(draw))
    return _mix(own, *((weight, space.subjects[subject]) for weight, subject in zip(weights, liked, strict=False)))
