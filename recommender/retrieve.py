"""Candidates: the best of the FAISS index, of item-item, of content, of what is popular; never what is ineligible."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.evidence import Evidence
from recommender.history import Learner
from recommender.index import queries_of
from recommender.model import Floats
from recommender.scores import Named, sum_of
from recommender.universe import Mask, Universe

Order = NDArray[np.int64]


@dataclass(frozen=True)
class Reach:
    """How many courses each source brings in, per course of the list wanted; `fresh`: places kept for new courses."""

    index: float = 1.0
    item_item: float = 0.4
    content: float = 0.3
    popular: float = 0.1
    fresh: float = 0.05


REACH = Reach()
FEWEST_FRESH = 2
"""New courses a list has room for, however short it is."""
FEWEST_POPULAR = 10
"""Popular courses among the candidates of a list, however short it is: where they are best, they make up its top."""


class Candidates(NamedTuple):
    """The candidates of B learners over N courses, and which of them are new courses that a place is kept for."""

    chosen: Mask  # (B, N)
    fresh: Mask | None  # (B, N), within `chosen`; None if there are no new courses


def eligible_of(learners: Sequence[Learner], universe: Universe) -> Mask:
    """Return which courses may stand in whose list, (B, N): active, not taken, not refused."""
    eligible, index_of = np.repeat(universe.active[None], len(learners), axis=0), universe.index_of
    barred = [learner.taken | learner.refused for learner in learners]
    courses = np.array([index_of.get(course_id, -1) for one in barred for course_id in one], dtype=np.int64)
    rows, known = np.repeat(np.arange(len(barred)), [len(one) for one in barred]), courses >= 0
    eligible[rows[known], courses[known]] = False
    return eligible


def preferred_of(learners: Sequence[Learner], eligible: Mask, evidence: Evidence, universe: Universe) -> Mask:
    """Return the eligible courses in languages that a learner declared or has taken courses in, (B, N)."""
    speakers = [row for row, learner in enumerate(learners) if learner.profile.languages]
    if not speakers:
        return eligible
    preferred, starts = eligible.copy(), evidence.recent.starts
    for row in speakers:
        taken = evidence.recent.courses[starts[row] : starts[row + 1]]
        preferred[row] &= universe.spoken(learners[row].profile.languages, taken)
    return preferred


def candidates_of(
    evidence: Evidence, eligible: Mask, preferred: Mask, universe: Universe, orders: tuple[Order, Order], limit: int
) -> Candidates:
    """Return the candidates, at least `limit` a learner as far as there are eligible courses.

    `orders`: all courses by popularity, and those that are trending, best first.
    """
    popular, trending = orders
    # Added to scores of all courses, where there are such.
    barred = None if universe.is_large else np.where(preferred, np.float32(0), np.float32(-np.inf))
    chosen = _near(evidence, preferred, barred, universe, round(limit * REACH.index))
    taste = evidence.content if evidence.interest is None else sum_of(evidence.content, evidence.interest)
    _add_neighbourly(chosen, evidence.item_item, preferred, barred, round(limit * REACH.item_item), limit)
    _add_neighbourly(chosen, taste, preferred, barred, round(limit * REACH.content), limit)
    places = min(max(FEWEST_FRESH, round(limit * REACH.fresh)), limit // 2)
    fresh = _fresh(taste, preferred, universe, places)
    if fresh is not None:
        chosen |= fresh
    reach = np.where(evidence.lengths == 0, limit, max(round(limit * REACH.popular), min(FEWEST_POPULAR, limit)))
    _add_first(chosen, preferred, popular, reach)
    _add_first(chosen, preferred, trending, reach)
    for allowed in (preferred, eligible):
        missing = limit - np.array([np.count_nonzero(row) for row in chosen])  # far sooner than by axis
        if (missing > 0).any():
            _add_first(chosen, allowed & ~chosen, popular, missing)
    return Candidates(chosen, fresh)


def _near(evidence: Evidence, preferred: Mask, barred: Floats | None, universe: Universe, count: int) -> Mask:
    """Return the `count` preferred courses of the greatest logits but for the MLP; none for silent learners."""
    if evidence.shallow is None or barred is None:
        return _indexed(evidence, preferred, universe, count)
    found, floors = np.zeros_like(preferred), np.where(evidence.silent, np.float32(np.inf), _LEAST)
    _add_largest(found, evidence.shallow, barred[:, : universe.num_known], count, count, floors)
    return found


def _indexed(evidence: Evidence, preferred: Mask, universe: Universe, count: int) -> Mask:
    """Return what `_near` does, from the index; looks deeper where too many of the nearest courses are barred."""
    found = np.zeros_like(preferred)
    prepared = universe.prepared.collaborative
    if prepared is None or evidence.vectors is None:
        return found
    queries = queries_of(prepared.neumf, evidence.vectors.gmf)
    rows, depth = np.flatnonzero(~evidence.silent), count + _SPARE
    while len(rows):
        courses, _ = prepared.index.search(queries[rows], depth)
        allowed = (courses >= 0) & preferred[rows[:, None], courses]  # -1: the index has no more
        places = np.cumsum(allowed, axis=1)
        allowed &= places <= count
        row, place = allowed.nonzero()
        found[rows[row], courses[row, place]] = True
        short = (places[:, -1:] < count).ravel() & (depth < universe.num_known)
        rows, depth = rows[short], depth * _DEEPER
    return found


_SPARE = 32
"""Courses more than wanted that are asked of the index: about as many as are taken."""
_DEEPER = 4


_LEAST = np.finfo(np.float32).min
"""Below every score but that of what is barred."""
_GROUPS = 16
"""Courses in a group whose greatest score stands for it."""


def _add_neighbourly(
    chosen: Mask, scores: Floats | Named, preferred: Mask, barred: Floats | None, count: int, ties: int
) -> None:
    """Add the courses of the `count` largest scores above 0, and up to `ties` ties of the last."""
    if isinstance(scores, Named):
        open_cells = (scores.values >= _SAID) & preferred.take(scores.cells)
        rows, courses = np.divmod(scores.cells[open_cells], max(chosen.shape[1], 1))
        _add_best(chosen, rows, courses, scores.values[open_cells], count, ties)
    elif barred is not None:
        _add_largest(chosen, scores, barred, count, ties)


_SAID = 1e-12
"""What is less says nothing."""


def _add_largest(
    chosen: Mask, scores: Floats, barred: Floats, count: int, ties: int, floors: Floats | float = _SAID
) -> None:
    """Add the courses of the `count` largest scores from `floors` on, and up to `ties` ties of the last.

    `barred`: (B, n), 0 where a course may be chosen, else -inf; `floors`: of all learners, or (B,).
    """
    count = min(count, scores.shape[1])
    if count == 0:
        return
    open_scores = scores + barred
    least = np.maximum(_reached(open_scores, count), floors)
    rows, courses = np.divmod(np.flatnonzero(open_scores >= least[:, None]), scores.shape[1])  # a few more than wanted
    _add_best(chosen, rows, courses, open_scores[rows, courses], count, ties)


def _add_best(chosen: Mask, rows: Order, courses: Order, values: Floats, count: int, ties: int) -> None:
    """Add the courses of the `count` largest values a row, and up to `ties` ties of the last; `rows` ascend."""
    size, numbers = len(chosen), np.bincount(rows, minlength=len(chosen))
    if count == 0:
        return
    table = np.full((size, max(count, numbers.max(initial=0))), -np.inf, dtype=np.float32)
    table[rows, np.arange(len(rows)) - np.repeat(np.cumsum(numbers) - numbers, numbers)] = values
    last = np.partition(table, -count, axis=1)[:, -count][rows]
    kept = values >= last
    for row in np.flatnonzero(np.bincount(rows[kept], minlength=size) > count + ties).tolist():
        kept[np.flatnonzero((rows == row) & (values == last))[ties:]] = False
    chosen[rows[kept], courses[kept]] = True


def _reached(scores: Floats, count: int) -> Floats:
    """Return what at least `count` scores of each row reach, (B,): the `count`-th largest of the maxima of groups.

    Few more than `count` reach it, and maxima are found far sooner than the `count`-th largest of all.
    """
    groups = scores.shape[1] // _GROUPS
    if groups > count:
        scores = scores[:, : groups * _GROUPS].reshape(-1, _GROUPS, groups).max(axis=1)  # (B, groups)
    reached: Floats = np.partition(scores, -count, axis=1)[:, -count]
    return reached


def _fresh(taste: Floats | Named, preferred: Mask, universe: Universe, count: int) -> Mask | None:
    """Return `count` new courses a learner: the nearest to the learner's taste, else those published last."""
    first = universe.num_known
    count = min(count, len(universe) - first)
    if count == 0:
        return None
    nearness = taste.table(preferred.shape, first) if isinstance(taste, Named) else taste[:, first:]
    keys = np.where(preferred[:, first:], nearness + 1e-6 * universe.recency, -np.inf)  # (B, new)
    places = np.argpartition(keys, keys.shape[1] - count, axis=1)[:, keys.shape[1] - count :]
    found = np.zeros_like(preferred)
    np.put_along_axis(found, first + places, np.take_along_axis(keys, places, axis=1) > -np.inf, axis=1)
    return found


def _add_first(chosen: Mask, allowed: Mask, order: Order, counts: NDArray[np.int64]) -> None:
    """Add the first `counts[b]` allowed courses of an order to `chosen`, (B, N)."""
    rows = np.flatnonzero(counts > 0)
    depth = int(counts.max(initial=0)) + _SPARE
    while len(rows):
        prefix = order[:depth]
        ordered = allowed[rows[:, None], prefix]
        places = np.cumsum(ordered, axis=1)
        ordered &= places <= counts[rows, None]
        row, place = ordered.nonzero()
        chosen[rows[row], prefix[place]] = True
        short = places[:, -1] < counts[rows] if len(prefix) else np.zeros(len(rows), dtype=np.bool_)
        rows, depth = rows[short & (depth < len(order))], depth * _DEEPER
