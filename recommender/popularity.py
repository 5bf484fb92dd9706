"""Popularity from current enrolments by course and day of `occurred_at` (days since 1970)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log1p
from typing import Final

import numpy as np

from recommender.model import Floats
from schemas.courses import Course
from schemas.registers import ENROLMENT, Rank, split_record, unpack_stamp

TRENDING_DAYS: Final = 30
_DAY_US: Final = 86_400_000_000

Counts = Mapping[str, Mapping[int, int]]


@dataclass(frozen=True)
class Popularity:
    """Scores by course, 0 to 1: of all time, and of the `TRENDING_DAYS` before the newest day. No entry means 0."""

    popular: Mapping[str, float] = field(default_factory=dict)
    trending: Mapping[str, float] = field(default_factory=dict)

    def arrays(self, course_ids: Sequence[str]) -> tuple[Floats, Floats]:
        """Return (popular, trending) in the order of these courses, (N,) each."""
        popular = [self.popular.get(course_id, 0.0) for course_id in course_ids]
        trending = [self.trending.get(course_id, 0.0) for course_id in course_ids]
        return np.array(popular, dtype=np.float32), np.array(trending, dtype=np.float32)


def counted_day(record: bytes) -> int | None:
    """Return the day of `occurred_at` on which a packed record counts as a current enrolment; None if it is none."""
    register = split_record(record).get(ENROLMENT) if record else None
    if register is None or register[7] & 15 != Rank.ENROLLED:
        return None
    return unpack_stamp(register).occurred_us // _DAY_US


def _normalised(counts: Mapping[str, int]) -> dict[str, float]:
    most = max(counts.values(), default=0)
    return {course_id: log1p(count) / log1p(most) for course_id, count in counts.items() if count > 0}


def popularity_of(counts: Counts) -> Popularity:
    """Return the scores of current enrolments by course and day, logarithmic so that one hit does not drown the rest.

    >>> scores = popularity_of({"a": {10: 3}, "b": {90: 1}})
    >>> scores.popular["a"], scores.popular["b"], dict(scores.trending)
    (1.0, 0.5, {'b': 1.0})
    """
    newest = max((day for days in counts.values() for day, count in days.items() if count > 0), default=0)
    totals = {course_id: sum(days.values()) for course_id, days in counts.items()}
    recent = {
        course_id: sum(count for day, count in days.items() if day > newest - TRENDING_DAYS)
        for course_id, days in counts.items()
    }
    return Popularity(_normalised(totals), _normalised(recent))


def latest(catalogue: Mapping[str, Course]) -> list[str]:
    """Return the ids of courses with a publishing date, newest first, ties by id."""
    dated = [(course.published_at, course.course_id) for course in catalogue.values() if course.published_at]
    dated.sort(key=lambda pair: (-pair[0].timestamp(), pair[1]))
    return [course_id for _, course_id in dated]
