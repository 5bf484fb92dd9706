"""Grades of a log as arrays: who got what in which course, and what each learner had before."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.grades import MAX_GRADES, Sheet
from recommender.model import Floats
from schemas.events import AnyEvent, Graded, Rated

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Grades:
    """N grades, each learner's one after the other in the order of time; of several in one course the last counts."""

    course_ids: tuple[str, ...]
    learner: NDArray[np.int64]  # (N,), ascending
    course: NDArray[np.int64]  # (N,), dense course indices
    value: Floats  # (N,), 0 lowest on its scale, 1 highest
    occurred_us: NDArray[np.int64]  # (N,)

    def __len__(self) -> int:
        return len(self.learner)

    @cached_property
    def history_ends(self) -> Rows:
        """The first row of the same learner and moment, (N,): grades of one moment do not know of each other."""
        return self._first_of(np.diff(self.occurred_us, prepend=-1) != 0)

    @cached_property
    def history_starts(self) -> Rows:
        """The first row of the same learner, or of his newest `MAX_GRADES` before this one, (N,)."""
        return np.maximum(self._first_of(np.zeros(len(self), dtype=np.bool_)), self.history_ends - MAX_GRADES)

    def _first_of(self, is_new: NDArray[np.bool_]) -> Rows:
        begins = is_new | (np.diff(self.learner, prepend=-1) != 0)
        return np.maximum.accumulate(np.where(begins, np.arange(len(self)), 0))

    def sheet(self, row: int | np.integer[Any]) -> Sheet:
        """Return what stood before a grade."""
        before = slice(self.history_starts[row], self.history_ends[row])
        return Sheet(self.course[before].astype(np.int32), self.value[before])

    def groups(self, rows: Rows) -> Iterator[Rows]:
        """Yield the rows that share their learner and moment, hence what stood before."""
        if len(rows):
            yield from np.split(rows, np.flatnonzero(np.diff(self.history_ends[rows])) + 1)


def grades_of(events: Iterable[AnyEvent], course_ids: Sequence[str], kind: type[Graded | Rated] = Graded) -> Grades:
    """Return the grades (or ratings) in courses of the catalogue, as fractions of their scales."""
    index_of: Mapping[str, int] = {course_id: index for index, course_id in enumerate(course_ids)}
    last: dict[tuple[str, str], tuple[int, float]] = {}
    for event in events:
        if isinstance(event, kind) and event.course_id in index_of:
            low, high = event.bounds()
            pair, found = (event.user_id, event.course_id), (event.occurred_us, (event.value - low) / (high - low))
            last[pair] = max(last.get(pair, found), found)
    ordered = sorted((user, moment, course, value) for (user, course), (moment, value) in last.items())
    return Grades(
        tuple(course_ids),
        np.unique(np.array([row[0] for row in ordered], dtype=np.str_), return_inverse=True)[1].astype(np.int64),
        np.array([index_of[row[2]] for row in ordered], dtype=np.int64),
        np.array([row[3] for row in ordered], dtype=np.float32),
        np.array([row[1] for row in ordered], dtype=np.int64),
    )
