"""Test cases: an enrolment that happened, and the learner as he stood the moment before."""

from collections.abc import Iterator
from itertools import groupby
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.history import Learner
from recommender.popularity import Popularity, popularity_of
from trainer.interactions import Interactions, is_target, replay
from trainer.log import Log

BLOCKS: Final = 20
"""Cases are tested in so many blocks; popularity is as fresh as its block."""

_DAY_US: Final = 86_400_000_000


class Case(NamedTuple):
    """A learner before an enrolment, and the course it was in. `is_new`: nobody had met the course a week before."""

    learner: Learner
    course_id: str
    occurred_us: int
    user_id: str = ""
    is_new: bool = False


class Block(NamedTuple):
    """Cases that follow each other in time, and the popularity of courses before the first of them."""

    cases: list[Case]
    popularity: Popularity


def cases_of(log: Log, interactions: Interactions, rows: NDArray[np.int64]) -> list[Case]:
    """Return the cases of these enrolments, in time order."""
    wanted: dict[str, set[str]] = {}
    for row in rows.tolist():
        own = wanted.setdefault(interactions.user_ids[interactions.learner[row]], set())
        own.add(interactions.course_ids[interactions.course[row]])
    cases = []
    for user_id, events in groupby(log.events, key=lambda event: event.user_id):
        if user_id not in wanted:
            continue
        for event, state in replay(events):
            if is_target(event, state) and event.course_id in wanted[user_id]:
                cases.append(Case(state.learner(), event.course_id, event.occurred_us, user_id))
    return sorted(cases, key=lambda case: case.occurred_us)


def popularity_before(interactions: Interactions, moment_us: int) -> Popularity:
    """Return the popularity that the enrolments before a moment make."""
    rows = interactions.before(moment_us)
    days = interactions.occurred_us[rows] // _DAY_US
    pairs, numbers = np.unique(np.stack([interactions.course[rows], days]), axis=1, return_counts=True)
    counts: dict[str, dict[int, int]] = {}
    for course, day, number in zip(*pairs.tolist(), numbers.tolist(), strict=True):
        counts.setdefault(interactions.course_ids[course], {})[day] = number
    return popularity_of(counts)


def blocks_of(cases: list[Case], interactions: Interactions) -> Iterator[Block]:
    """Yield the cases, which are in time order, in at most `BLOCKS` blocks."""
    size = max(1, -(-len(cases) // BLOCKS))
    for start in range(0, len(cases), size):
        part = cases[start : start + size]
        yield Block(part, popularity_before(interactions, part[0].occurred_us))
