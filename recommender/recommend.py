"""From learners to ranked lists with reasons: gather, retrieve, rank, explain. A batch at a time.

`prepare` a model once; a `Recommender` serves it with one catalogue and one popularity.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Final

import numpy as np

from recommender.evidence import Evidence, gather
from recommender.explain import causes_of, sources_of
from recommender.history import Learner
from recommender.listing import Lists, Ranked, Recommendation, number_causes
from recommender.model import Floats
from recommender.popularity import Popularity
from recommender.rank import Scored, best, join_scored, score, silent_weights, totals_of, weights_of
from recommender.retrieve import Candidates, candidates_of, eligible_of, preferred_of
from recommender.universe import Prepared, Universe, prepare
from schemas.candidates import MAX_CANDIDATES
from schemas.courses import Course

__all__ = ["Recommendation", "Recommender", "prepare"]

BATCH: Final = 64
"""Learners at a time: what is computed of them for every course, 20 bytes a learner and course, stays small."""


LISTED: Final = 100
"""Courses in a list."""


class Recommender:
    """Recommends with one model, catalogue and popularity; immutable, so it can be swapped as one."""

    def __init__(self, prepared: Prepared, catalogue: Mapping[str, Course], popularity: Popularity) -> None:
        universe = Universe(prepared, dict(catalogue))
        universe.settle()
        self._arrange(universe, popularity)

    def _arrange(self, universe: Universe, popularity: Popularity) -> None:
        self.universe = universe
        self.popular, self.trending = popularity.arrays(universe.course_ids)
        by_trend = np.argsort(-self.trending, kind="stable")
        self._orders = np.argsort(-self.popular, kind="stable"), by_trend[self.trending[by_trend] > 0]

    def with_popularity(self, popularity: Popularity) -> "Recommender":
        """Return the same recommender with fresher popularity; cheap."""
        other = object.__new__(Recommender)
        other._arrange(self.universe, popularity)
        return other

    @cached_property
    def cold(self) -> Floats:
        """Score of every course for who is unknown, (N,), in the order of the list that `recommend` makes."""
        weights = silent_weights(self.universe.prepared.model.blend) * self.components([Learner()]).inverse[0]
        scores: Floats = self.popular * weights[3] + self.trending * weights[4]
        return scores

    @property
    def course_ids(self) -> tuple[str, ...]:
        """Ids of all courses, in the dense order that `Scored.courses` means."""
        return self.universe.course_ids

    def components(self, learners: Sequence[Learner], limit: int = LISTED) -> Scored:
        """Return the component scores of each learner's candidates: what the blend is fitted on."""
        parts = [self._score(part, gather(part, self.universe), limit) for part in _batches(learners)]
        return join_scored(parts)

    def _score(self, learners: Sequence[Learner], evidence: Evidence, limit: int) -> Scored:
        eligible = eligible_of(learners, self.universe)
        preferred = preferred_of(learners, eligible, evidence, self.universe)
        candidates = candidates_of(evidence, eligible, preferred, self.universe, self._orders, limit)
        return score(learners, evidence, candidates, preferred, self.universe, (self.popular, self.trending))

    def scores(self, learners: Sequence[Learner]) -> Floats:
        """Return the blended score of every course, in the units of a list's, (B, N); -inf: not to be listed."""
        parts = [self._dense(part) for part in _batches(learners) if part]
        return np.concatenate([np.empty((0, len(self.universe)), np.float32), *parts])

    def _dense(self, learners: Sequence[Learner]) -> Floats:
        universe, evidence = self.universe, gather(learners, self.universe)
        eligible = eligible_of(learners, universe)
        preferred = preferred_of(learners, eligible, evidence, universe)
        every, popularity = Candidates(eligible, None), (self.popular, self.trending)
        listed = candidates_of(evidence, eligible, preferred, universe, self._orders, LISTED).chosen
        scored = score(learners, evidence, every, preferred, universe, popularity, measured=listed)
        totals = np.full(eligible.shape, -np.inf, dtype=np.float32)
        totals[scored.rows, scored.courses] = totals_of(scored, weights_of(universe.prepared.model.blend, evidence))
        return totals

    def recommend(self, learners: Sequence[Learner], limit: int = LISTED) -> list[Recommendation]:
        """Return a list a learner, of `limit` courses as far as there are eligible ones."""
        return [one.unpacked() for one in self.rank(learners, limit)]

    def rank(self, learners: Sequence[Learner], limit: int = LISTED) -> list[Ranked]:
        """Return the same lists as they come: arrays, to be packed."""
        if not 0 < limit <= MAX_CANDIDATES:
            raise ValueError(f"limit {limit} lies outside 1..{MAX_CANDIDATES}")
        # Histories of about one length stand together: tables of their entries are as wide as the longest.
        order = sorted(range(len(learners)), key=lambda row: len(learners[row].entries))
        ordered = [learners[row] for row in order]
        found = [one for part in _batches(ordered) if part for one in self._rank(part, limit)]
        lists = dict(zip(order, found, strict=True))
        return [lists[row] for row in range(len(learners))]

    def _rank(self, learners: Sequence[Learner], limit: int) -> list[Ranked]:
        universe = self.universe
        evidence = gather(learners, universe)
        scored = self._score(learners, evidence, limit)
        weights = weights_of(universe.prepared.model.blend, evidence)
        totals = totals_of(scored, weights)
        pairs, places = best(scored, totals, limit)
        sources = sources_of(scored, weights, evidence, pairs, places, universe)
        causes = causes_of(learners, scored, weights, evidence, universe, pairs, places, sources)
        starts = np.searchsorted(scored.rows[pairs], np.arange(len(learners) + 1)).tolist()
        numbers, named = number_causes(causes, starts, learners)
        lists = Lists(
            universe,
            starts,
            scored.courses.take(pairs),
            totals.take(pairs),
            scored.values.take(pairs, axis=0),
            sources.astype(np.uint8),
            numbers,
        )
        embeddings = evidence.vectors.gmf if evidence.vectors else np.empty((len(learners), 0), dtype=np.float32)
        return [Ranked(lists, row, named[row], embeddings[row]) for row in range(len(learners))]


def _batches(learners: Sequence[Learner]) -> list[Sequence[Learner]]:
    """Return the learners in parts of at most `BATCH`; one empty part if there are none."""
    return [learners[start : start + BATCH] for start in range(0, max(len(learners), 1), BATCH)]
