"""Candidates: the best of the FAISS index, of item-item, of content, of what is popular; never what is ineligible."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.evidence import Evidence
from recommender.history import Learner
from recommender.index import queries_of
from recommender.model import Floats
from recommender.universe import Mask, Universe

Order = NDArray[np.int64]


@dataclass(frozen=True)
class Reach:
    """How many courses each source brings in, per course of the list wanted."""

    index: float = 1.2
    item_item: float = 0.5
    content: float = 0.4
    popular: float = 0.2


REACH = Reach()


def eligible_of(learners: Sequence[Learner], universe: Universe) -> Mask:
    """Return which courses may stand in whose list, (B, N): active, not taken, not refused."""
    eligible = np.repeat(universe.active[None], len(learners), axis=0)
    for row, learner in enumerate(learners):
        gone = learner.taken | learner.refused
        known = [universe.index_of[course_id] for course_id in gone if course_id in universe.index_of]
        eligible[row, known] = False
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
) -> Mask:
    """Return the candidates, (B, N), at least `limit` a learner as far as there are eligible courses.

    `orders`: all courses by popularity, and those that are trending, best first.
    """
    popular, trending = orders
    chosen = _indexed(evidence, preferred, universe, round(limit * REACH.index))
    chosen |= _largest(evidence.item_item, preferred, round(limit * REACH.item_item))
    content = evidence.content + evidence.interest
    chosen |= _largest(content, preferred, round(limit * REACH.content))
    reach = np.where(evidence.lengths == 0, limit, round(limit * REACH.popular))
    chosen |= _first(preferred, popular, reach)
    chosen |= _first(preferred, trending, np.where(evidence.silent, 0, reach))
    chosen |= _first(preferred & ~chosen, popular, limit - chosen.sum(axis=1))
    return chosen | _first(eligible & ~chosen, popular, limit - chosen.sum(axis=1))


def _indexed(evidence: Evidence, eligible: Mask, universe: Universe, count: int) -> Mask:
    """Return the `count` eligible courses that the index finds first, none for learners of whom nothing is known."""
    found = np.zeros_like(eligible)
    prepared = universe.prepared.collaborative
    if prepared is None or evidence.vectors is None:
        return found
    barred = (~eligible[:, : universe.num_known]).sum(axis=1)
    courses, _ = prepared.index.search(
        queries_of(prepared.neumf, evidence.vectors.gmf), count + int(barred.max(initial=0))
    )
    allowed = np.take_along_axis(eligible, courses, axis=1) & ~evidence.silent[:, None]
    allowed &= np.cumsum(allowed, axis=1) <= count
    np.put_along_axis(found, courses, allowed, axis=1)
    return found


def _largest(scores: Floats, eligible: Mask, count: int) -> Mask:
    """Return the eligible courses with the `count` largest scores above 0, and all that tie with the last."""
    scores = np.where(eligible, scores, 0.0)
    count = min(count, scores.shape[1])
    if count == 0:
        return np.zeros_like(eligible)
    last = np.partition(scores, scores.shape[1] - count, axis=1)[:, scores.shape[1] - count]  # (B,)
    mask: Mask = (scores >= last[:, None]) & (scores > 0)
    return mask


def _first(eligible: Mask, order: Order, counts: NDArray[np.int64]) -> Mask:
    """Return the first `counts[b]` eligible courses of an order, (B, N)."""
    found = np.zeros_like(eligible)
    if (counts > 0).any():
        ordered = eligible[:, order]
        found[:, order] = ordered & (np.cumsum(ordered, axis=1) <= counts[:, None])
    return found
