"""What is shown before any shared list was seen, as by an API that starts over an emptied Redis: the newest courses."""

import time
from collections.abc import Iterable
from operator import attrgetter
from typing import Final, NamedTuple

from adapters.follow import Catalogue
from schemas.candidates import COMPONENTS, Candidate, CandidateList, Source, Version
from schemas.cards import Card, card_of
from schemas.courses import Course

LISTED: Final = 100


class Fallback(NamedTuple):
    """A list over all courses, and the cards of those in it."""

    listed: CandidateList
    cards: dict[str, Card]


def fallback_of(courses: Iterable[Course]) -> Fallback | None:
    """Return the courses published last, then those without a date by id; None if there is no course.

    >>> found = fallback_of([Course(course_id="b"), Course(course_id="a"), Course(course_id="c", retired=True)])
    >>> [candidate.course_id for candidate in found.listed.candidates]
    ['a', 'b']
    """
    by_id = sorted((one for one in courses if not one.retired), key=attrgetter("course_id"))
    newest = sorted(by_id, key=lambda one: -one.published_at.timestamp() if one.published_at else float("inf"))[:LISTED]
    if not newest:
        return None
    none, step = (0.0,) * len(COMPONENTS), 1.0 / len(newest)
    shown = tuple(Candidate(one.course_id, 1.0 - i * step, none, Source.NEW, None) for i, one in enumerate(newest))
    listed = CandidateList(Version(-1, -1, -1, -1), time.time_ns() // 1_000, (), shown)
    return Fallback(listed, {one.course_id: card_of(one) for one in newest})


async def read_fallback(bootstrap_servers: str) -> Fallback | None:
    """Return the fallback from what the log holds of the catalogue now."""
    async with Catalogue(bootstrap_servers) as catalogue:
        return fallback_of(catalogue.courses.values())
