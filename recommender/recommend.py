"""From learners to ranked lists with reasons: gather, retrieve, rank, explain. A batch at a time.

`prepare` a model once; a `Recommender` serves it with one catalogue and one popularity.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.evidence import Evidence, gather
from recommender.explain import causes_of, sources_of
from recommender.history import Learner
from recommender.model import Floats
from recommender.popularity import Popularity
from recommender.rank import Indices, Scored, best, join_scored, score, totals_of
from recommender.retrieve import candidates_of, eligible_of, preferred_of
from recommender.universe import Prepared, Universe, prepare
from schemas.candidates import MAX_CANDIDATES, NO_CAUSE, Candidate, Source
from schemas.courses import Course

__all__ = ["Recommendation", "Recommender", "prepare"]

BATCH: Final = 256
"""Learners at a time: what is computed of them for every course takes about 30 bytes a learner and course."""

_SILENT: Final = np.array([0, 0, 0, 1, 0], dtype=np.float32)
_SOURCES: Final = tuple(Source)


class Recommendation(NamedTuple):
    """A learner's list, best first, and the learner's embedding (GMF vector, (d,); (0,) in a bootstrap)."""

    causes: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    embedding: Floats


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

    @property
    def course_ids(self) -> tuple[str, ...]:
        """Ids of all courses, in the dense order that `Scored.courses` means."""
        return self.universe.course_ids

    def components(self, learners: Sequence[Learner], limit: int = 100) -> Scored:
        """Return the component scores of each learner's candidates: what the blend is fitted on."""
        parts = [self._score(part, gather(part, self.universe), limit) for part in _batches(learners)]
        return join_scored(parts)

    def _score(self, learners: Sequence[Learner], evidence: Evidence, limit: int) -> Scored:
        eligible = eligible_of(learners, self.universe)
        preferred = preferred_of(learners, eligible, evidence, self.universe)
        chosen = candidates_of(evidence, eligible, preferred, self.universe, self._orders, limit)
        return score(evidence, chosen, preferred, self.universe, self.popular, self.trending)

    def recommend(self, learners: Sequence[Learner], limit: int = 100) -> list[Recommendation]:
        """Return a list a learner, of `limit` courses as far as there are eligible ones."""
        if not 0 < limit <= MAX_CANDIDATES:
            raise ValueError(f"limit {limit} lies outside 1..{MAX_CANDIDATES}")
        return [found for part in _batches(learners) if part for found in self._recommend(part, limit)]

    def _recommend(self, learners: Sequence[Learner], limit: int) -> list[Recommendation]:
        evidence = gather(learners, self.universe)
        scored = self._score(learners, evidence, limit)
        weights = self.universe.prepared.model.blend.rows(evidence.lengths)
        weights[evidence.silent] = _SILENT
        totals = totals_of(scored, weights)
        pairs, places = best(scored, totals, limit)
        sources = sources_of(scored, weights, evidence, pairs, self.universe.num_known)
        causes = causes_of(scored, weights, evidence, self.universe, pairs, places, limit)
        causes[(sources != Source.COLLABORATIVE) & (sources != Source.CONTENT)] = -1
        return self._assemble(learners, evidence, _Rows(scored, totals, pairs, sources, causes))

    def _assemble(self, learners: Sequence[Learner], evidence: Evidence, found: "_Rows") -> list[Recommendation]:
        pairs, ids = found.pairs, self.universe.course_ids
        courses = [ids[course] for course in found.scored.courses[pairs].tolist()]
        totals, components = found.totals[pairs].tolist(), found.scored.values[pairs].tolist()
        sources, causes = found.sources.tolist(), found.causes.tolist()
        bounds = np.searchsorted(found.scored.rows[pairs], np.arange(len(learners) + 1)).tolist()
        embeddings = evidence.vectors.gmf if evidence.vectors else np.empty((len(learners), 0), dtype=np.float32)
        lists = []
        for row, learner in enumerate(learners):
            part = slice(bounds[row], bounds[row + 1])
            numbers, named = _name_causes(causes[part], learner)
            rows = zip(courses[part], totals[part], components[part], sources[part], numbers, strict=True)
            candidates = tuple([
                Candidate(course_id, total, tuple(values), _SOURCES[source], cause)
                for course_id, total, values, source, cause in rows
            ])  # fmt: skip
            lists.append(Recommendation(named, candidates, embeddings[row]))
        return lists


def _batches(learners: Sequence[Learner]) -> list[Sequence[Learner]]:
    """Return the learners in parts of at most `BATCH`; one empty part if there are none."""
    return [learners[start : start + BATCH] for start in range(0, max(len(learners), 1), BATCH)]


class _Rows(NamedTuple):
    """What `recommend` found: totals over all pairs of `scored`; sources and causes over the best `pairs`."""

    scored: Scored
    totals: Floats
    pairs: Indices
    sources: Indices
    causes: NDArray[np.int32]


def _name_causes(positions: Sequence[int], learner: Learner) -> tuple[list[int | None], tuple[str, ...]]:
    """Return each candidate's number among the causes, and the causes: courses that were taken."""
    taken, entries = learner.taken, learner.entries
    named = [place for place in dict.fromkeys(positions) if place >= 0 and entries[place].course_id in taken]
    number_of = {position: number for number, position in enumerate(named[: NO_CAUSE - 1])}
    causes = tuple(entries[position].course_id for position in number_of)
    return [number_of.get(position) for position in positions], causes
