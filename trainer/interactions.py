"""Events -> interactions: the first enrolment of each learner and course, and the history that stood before it."""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recommender.fold import FoldedLearner
from recommender.history import learner_of
from recommender.tower import NEWEST
from schemas.events import CourseEvent, Enrolled, Feedback, LearnerEvent


@dataclass(frozen=True, eq=False)
class Interactions:
    """First enrolments in courses not yet taken, ordered by learner and time; T of them, n courses.

    Row t of the histories, `history_starts[t]:history_starts[t + 1]`, holds what stood before enrolment t,
    oldest first.
    """

    course_ids: tuple[str, ...]
    user_ids: tuple[str, ...]
    learner: NDArray[np.int64]  # (T,) row of `user_ids`
    course: NDArray[np.int64]  # (T,) row of `course_ids`
    occurred_us: NDArray[np.int64]  # (T,)
    history_starts: NDArray[np.int64]  # (T + 1,)
    history_courses: NDArray[np.int32]  # (E,)
    history_weights: NDArray[np.float32]  # (E,)
    taken_learner: NDArray[np.int64]  # (P,) every pair taken, enrolled in or not
    taken_course: NDArray[np.int64]  # (P,)
    taken_us: NDArray[np.int64]  # (P,) since when

    def __len__(self) -> int:
        return len(self.learner)

    def taken_before(self, moment_us: int | None = None) -> csr_array:
        """Return which learner had taken which course before a moment (None: at the end), (learners, n) of bool."""
        known = slice(None) if moment_us is None else self.taken_us < moment_us
        learners, courses = self.taken_learner[known], self.taken_course[known]
        shape = len(self.user_ids), len(self.course_ids)
        return csr_array((np.ones(len(learners), dtype=bool), (learners, courses)), shape=shape)

    def anybody_took(self, moment_us: int | None = None) -> NDArray[np.bool_]:
        """Return which courses somebody had taken before a moment (None: at the end), (n,)."""
        return np.asarray(self.taken_before(moment_us).sum(axis=0)).ravel() > 0

    def before(self, moment_us: int | None) -> NDArray[np.int64]:
        """Return the rows of the enrolments before a moment (None: all)."""
        if moment_us is None:
            return np.arange(len(self))
        return np.flatnonzero(self.occurred_us < moment_us)

    def keep(self, rows: NDArray[np.int64]) -> Interactions:
        """Return the enrolments of these rows, ascending, alone; what was taken stays."""
        first, last = self.history_starts[rows], self.history_starts[rows + 1]
        starts = np.concatenate(([0], np.cumsum(last - first))).astype(np.int64)
        entries = np.arange(starts[-1]) + np.repeat(first - starts[:-1], last - first)
        return replace(
            self,
            learner=self.learner[rows],
            course=self.course[rows],
            occurred_us=self.occurred_us[rows],
            history_starts=starts,
            history_courses=self.history_courses[entries],
            history_weights=self.history_weights[entries],
        )


def is_target(event: LearnerEvent, state: FoldedLearner) -> TypeGuard[Enrolled]:
    """Return whether an event is to be predicted from the state before it: an enrolment in a course not yet taken."""
    return isinstance(event, Enrolled) and event.course_id not in state.records


def replay(events: Iterable[LearnerEvent]) -> Iterator[tuple[LearnerEvent, FoldedLearner]]:
    """Yield each of one learner's events with the state before it: it does not contain the event."""
    state = FoldedLearner()
    for event in events:
        yield event, state
        state.apply(event, 0)


@dataclass
class _Timeline:
    """A learner's entries as they stand, kept in order event by event."""

    order: list[tuple[int, bytes, str]] = field(default_factory=list)
    place: dict[str, tuple[int, bytes, str]] = field(default_factory=dict)
    weight: dict[str, float] = field(default_factory=dict)

    def refresh(self, course_id: str, state: FoldedLearner) -> None:
        """Take in what became of one course: its weight, and its place if that moved."""
        old = self.place.pop(course_id, None)
        if old is not None:
            del self.order[bisect_left(self.order, old)]
        record, feedback = state.records.get(course_id), state.feedback.get(course_id)
        learner = learner_of({course_id: record} if record else {}, {course_id: feedback} if feedback else {})
        for entry in learner.entries:
            self.weight[course_id] = entry.weight
            self.place[course_id] = entry.occurred_us, entry.event_id, course_id
            insort(self.order, self.place[course_id])


@dataclass
class _Columns:
    """Columns of `Interactions` as they grow."""

    learner: array[int] = field(default_factory=lambda: array("q"))
    course: array[int] = field(default_factory=lambda: array("q"))
    occurred_us: array[int] = field(default_factory=lambda: array("q"))
    ends: array[int] = field(default_factory=lambda: array("q", [0]))
    courses: array[int] = field(default_factory=lambda: array("i"))
    weights: array[float] = field(default_factory=lambda: array("f"))
    taken: array[int] = field(default_factory=lambda: array("q"))

    def add(self, row: int, event: CourseEvent, timeline: _Timeline, index_of: dict[str, int]) -> None:
        """Take in one enrolment and the history before it."""
        newest = [course_id for _, _, course_id in timeline.order[-NEWEST:]]
        self.learner.append(row)
        self.course.append(index_of[event.course_id])
        self.occurred_us.append(event.occurred_us)
        newest = [course_id for course_id in newest if timeline.weight[course_id]]
        self.courses.extend([index_of[course_id] for course_id in newest])
        self.weights.extend([timeline.weight[course_id] for course_id in newest])
        self.ends.append(len(self.courses))


def _add_learner(columns: _Columns, row: int, events: Iterable[LearnerEvent], index_of: dict[str, int]) -> None:
    timeline = _Timeline()
    touched: str | None = None
    for event, state in replay(events):
        if touched is not None:
            timeline.refresh(touched, state)
        touched = event.course_id if isinstance(event, CourseEvent) else None
        if is_target(event, state):
            columns.add(row, event, timeline, index_of)
        if touched is not None and not isinstance(event, Feedback) and touched not in state.records:
            columns.taken.extend((row, index_of[touched], event.occurred_us))


def interactions_of(events: Sequence[LearnerEvent], course_ids: Iterable[str] = ()) -> Interactions:
    """Return the interactions of events in the order of a `Log`; courses that only events name are added."""
    named = {event.course_id for event in events if isinstance(event, CourseEvent)}
    courses = tuple(sorted(named.union(course_ids)))
    index_of = {course_id: i for i, course_id in enumerate(courses)}
    columns = _Columns()
    user_ids: list[str] = []
    for user_id, own in groupby(events, key=lambda event: event.user_id):
        _add_learner(columns, len(user_ids), own, index_of)
        user_ids.append(user_id)
    taken = np.array(columns.taken, dtype=np.int64).reshape(-1, 3)
    return Interactions(
        course_ids=courses,
        user_ids=tuple(user_ids),
        learner=np.array(columns.learner, dtype=np.int64),
        course=np.array(columns.course, dtype=np.int64),
        occurred_us=np.array(columns.occurred_us, dtype=np.int64),
        history_starts=np.array(columns.ends, dtype=np.int64),
        history_courses=np.array(columns.courses, dtype=np.int32),
        history_weights=np.array(columns.weights, dtype=np.float32),
        taken_learner=taken[:, 0],
        taken_course=taken[:, 1],
        taken_us=taken[:, 2],
    )
