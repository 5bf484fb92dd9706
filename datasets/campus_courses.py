"""Courses of the simulated campus: what anybody reads of them, and the truth that nobody is told."""

import math
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count, islice
from typing import Final, NamedTuple

from datasets.campus_topics import LEVELS, SUBJECTS, TEXTS, TITLES
from schemas.courses import Course

EDITION_LANGUAGES: Final = ("English", "Spanish", "German")
_LANGUAGE_WEIGHTS: Final = (0.5, 0.3, 0.2)
_LATER: Final = 0.12
"""Share of the ladders whose courses appear only in the course of time."""
_RETIRING: Final = 0.1
_OLD_DAYS: Final = 365.0
_BROAD: Final = 0.08
"""Share of the courses that many like, whatever their taste."""


class Topic(NamedTuple):
    """A topic and its subject."""

    name: str
    subject: str


TOPICS: Final = tuple(
    Topic(name, subject)
    for row in zip(*([(name, subject) for name in topics] for subject, topics in SUBJECTS.items()), strict=True)
    for name, subject in row
)
"""All topics, the first of each subject first, so that a small campus has all subjects."""


@dataclass(frozen=True)
class CampusCourse:
    """A course with its truth: `quality` 0 to 1, `breadth` (how much of it anybody likes) 0 to 1, `fame` above 0.

    `level` is a rung, 0 to 2. It can be taken from day `appears` until day `retires`.
    """

    course_id: str
    topic: str
    subject: str
    level: int
    language: str
    edition: int
    prerequisite: str | None
    quality: float
    breadth: float
    fame: float
    appears: float
    retires: float

    def is_active(self, day: float) -> bool:
        """Return whether the course can be taken on a day."""
        return self.appears <= day < self.retires

    def published(self, day_zero: datetime) -> Course:
        """Return the course as the catalogue shows it."""
        words = SUBJECTS[self.subject][self.topic]
        names = dict(zip(("first", "second", "third", "fourth"), words, strict=True))
        titles = TITLES[self.language][self.level]
        title = titles[self.edition % len(titles)].format(self.topic)
        return Course(
            course_id=self.course_id,
            title=f"{title} ({self.edition + 1})" if self.edition > 1 else title,
            description=TEXTS[self.language][self.level].format(topic=self.topic, **names),
            category=self.subject,
            language=self.language,
            level=LEVELS[self.level],
            tags=(self.subject, self.topic),
            skills=words[: self.level + 2],
            prerequisites=(self.prerequisite,) if self.prerequisite else (),
            published_at=day_zero + timedelta(days=min(max(self.appears, -_OLD_DAYS), 0.0)),
        )


def make_courses(number: int, draw: random.Random) -> tuple[CampusCourse, ...]:
    """Return `number` courses: for each topic a ladder of three rungs, then more editions, some in other languages."""
    return tuple(islice((course for ladder in _ladders(draw) for course in ladder), number))


def _ladders(draw: random.Random) -> Iterator[list[CampusCourse]]:
    for edition in count():
        for topic in TOPICS:
            language = "English" if edition == 0 else draw.choices(EDITION_LANGUAGES, _LANGUAGE_WEIGHTS)[0]
            yield _ladder(topic, language, edition, draw)


def _ladder(topic: Topic, language: str, edition: int, draw: random.Random) -> list[CampusCourse]:
    appears = draw.uniform(-30.0, 90.0) if draw.random() < _LATER else -math.inf
    rungs: list[CampusCourse] = []
    for level in range(len(LEVELS)):
        rungs.append(_course(topic, level, language, edition, rungs[-1] if rungs else None, appears, draw))
    return rungs


def _course(
    topic: Topic,
    level: int,
    language: str,
    edition: int,
    below: CampusCourse | None,
    appears: float,
    draw: random.Random,
) -> CampusCourse:
    quality = draw.betavariate(4.0, 2.5)
    breadth = draw.uniform(0.25, 0.6) if draw.random() < _BROAD else draw.uniform(0.0, 0.1)
    suffix = f"-{edition + 1}" if edition else ""
    return CampusCourse(
        course_id=f"{_slug(topic.name)}-{LEVELS[level]}{suffix}",
        topic=topic.name,
        subject=topic.subject,
        level=level,
        language=language,
        edition=edition,
        prerequisite=below.course_id if below else None,
        quality=quality,
        breadth=breadth,
        fame=math.exp(draw.gauss(0.0, 0.8) + 3.0 * breadth + 2.0 * quality - 0.4 * level),
        appears=appears,
        retires=draw.uniform(5.0, 120.0) if draw.random() < _RETIRING else math.inf,
    )


def _slug(name: str) -> str:
    """Return a name as an id writes it.

    >>> _slug("A/B Testing")
    'a-b-testing'
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
