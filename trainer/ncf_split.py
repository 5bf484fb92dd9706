"""A split of the NCF paper as what models are fitted on: interactions, learners, popularity.

The split tells the order of what a learner took and no times, so each learner takes a course a day up to one last day
that all have in common, and is tested the day after.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from datasets.ncf import HeldOut, Split
from recommender.history import WEIGHTS, Entry, Learner
from recommender.popularity import Popularity, popularity_of
from recommender.tower import NEWEST
from trainer.bounds import newest_of_each
from trainer.interactions import Interactions

DAY_US: Final = 86_400_000_000
LAST_DAY: Final = 20_000
"""Days since 1970: the longest history begins later."""

NEGATIVES: Final = 99


def without_last(split: Split, seed: int) -> Split:
    """Return the training part as a split of its own: tested with its last courses, among courses drawn afresh."""
    rng = np.random.default_rng(seed)
    every = np.array([course.course_id for course in split.courses])
    histories, tests = {}, []
    for user_id, history in split.histories.items():
        left = np.setdiff1d(every, history)
        if len(history) > 1 and len(left):
            drawn = rng.choice(left, min(NEGATIVES, len(left)), replace=False)
            histories[user_id] = history[:-1]
            tests.append(HeldOut(user_id, history[-1], tuple(drawn.tolist())))
    return Split(split.courses, histories, tests)


def interactions_of(split: Split, most: int) -> Interactions:
    """Return the training part as interactions, the newest `most` of each learner as targets; all of it is taken."""
    course_ids = tuple(sorted(course.course_id for course in split.courses))
    index_of = {course_id: index for index, course_id in enumerate(course_ids)}
    lengths = np.array([len(history) for history in split.histories.values()])
    course = np.array([index_of[one] for history in split.histories.values() for one in history], dtype=np.int64)
    learner = np.repeat(np.arange(len(lengths)), lengths)
    ends = np.repeat(np.cumsum(lengths), lengths)
    occurred_us = (LAST_DAY + 1 - (ends - np.arange(len(course)))) * DAY_US
    position = np.arange(len(course)) - (ends - lengths[learner])
    rows = newest_of_each(learner, most)
    sizes = np.minimum(position[rows], NEWEST)
    starts = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    entries = np.arange(starts[-1]) + np.repeat(rows - sizes - starts[:-1], sizes)
    return Interactions(
        course_ids=course_ids,
        user_ids=tuple(split.histories),
        learner=learner[rows],
        course=course[rows],
        occurred_us=occurred_us[rows],
        history_starts=starts,
        history_courses=course[entries].astype(np.int32),
        history_weights=np.full(starts[-1], WEIGHTS.enrolled, dtype=np.float32),
        taken_learner=learner,
        taken_course=course,
        taken_us=occurred_us,
    )


def learner_of(user_id: str, history: Sequence[str], last_day: int = LAST_DAY) -> Learner:
    """Return the learner who took these courses, oldest first, one a day up to a day."""
    first = last_day + 1 - len(history)
    entries = [
        Entry(course_id, WEIGHTS.enrolled, (first + place) * DAY_US, place.to_bytes(16, "big"))
        for place, course_id in enumerate(history)
    ]
    return Learner(entries=tuple(entries), taken=frozenset(history), user_id=user_id)


def popularity_after(histories: Iterable[Sequence[str]]) -> Popularity:
    """Return the popularity that these histories make; nothing is trending, as days mean nothing."""
    counts = Counter(course_id for history in histories for course_id in history)
    popularity = popularity_of({course_id: {LAST_DAY: count} for course_id, count in counts.items()})
    return Popularity(popularity.popular)
