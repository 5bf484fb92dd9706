"""Ranking: five component scores a candidate, z-scored among a learner's candidates, weighted by length of history."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recommender.evidence import Evidence
from recommender.model import Floats
from recommender.universe import Mask, Universe
from schemas.candidates import COMPONENTS

FOREIGN: Final = 16.0
"""Taken from the score of a course in none of the learner's languages: more than blended z-scores differ by."""

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Scored:
    """P pairs of learner and candidate, by learner. Columns follow `schemas.candidates.COMPONENTS`."""

    rows: Indices  # (P,), ascending
    courses: Indices  # (P,), dense index in the universe, ascending within a learner
    values: Floats  # (P, 5): logit, EASE score, cosine, popularity and trend 0..1
    z: Floats  # (P, 5)
    inverse: Floats  # (B, 5), 1 / standard deviation; 0 where a component says nothing
    lengths: NDArray[np.int64]  # (B,), known entries of positive weight: what the blend goes by
    foreign: Mask  # (P,), in none of the learner's languages: listed after all others


def score(
    evidence: Evidence, chosen: Mask, preferred: Mask, universe: Universe, popular: Floats, trending: Floats
) -> Scored:
    """Return the component scores of the chosen candidates, (B, N); `preferred` ones come first."""
    rows, courses = chosen.nonzero()
    values = np.empty((len(rows), len(COMPONENTS)), dtype=np.float32)
    known = courses < universe.num_known
    values[:, 0] = _logits(evidence, rows, courses, known, universe)
    values[:, 1] = evidence.item_item[rows, courses]
    values[:, 2] = evidence.content[rows, courses] + evidence.interest[rows, courses]
    values[:, 3] = popular[courses]
    values[:, 4] = trending[courses]
    z, inverse = np.empty_like(values), np.empty((len(chosen), len(COMPONENTS)), dtype=np.float32)
    everywhere = np.ones(len(rows), dtype=np.bool_)
    for column in range(len(COMPONENTS)):
        said = known if column < 2 else everywhere
        z[:, column], inverse[:, column] = _standardise(values[:, column], rows, said, len(chosen))
    return Scored(rows, courses, values, z, inverse, evidence.lengths, ~preferred[rows, courses])


def _logits(evidence: Evidence, rows: Indices, courses: Indices, known: Mask, universe: Universe) -> Floats:
    """Return NeuMF's logits; a course that the model does not know gets the least of its learner's."""
    logits = np.zeros(len(rows), dtype=np.float32)
    prepared = universe.prepared.collaborative
    if prepared is None or evidence.vectors is None:
        return logits
    logits[known] = prepared.scorer.logits(evidence.vectors, rows[known], courses[known])
    if not known.all():
        least = np.full(len(evidence.lengths), np.inf, dtype=np.float32)
        np.minimum.at(least, rows[known], logits[known])
        logits[~known] = np.where(np.isfinite(least), least, 0.0)[rows[~known]]
    return logits


def _standardise(values: Floats, rows: Indices, said: Mask, size: int) -> tuple[Floats, Floats]:
    """Return z-scores within each learner, 0 where nothing is said, and 1 / standard deviation, (P,) and (B,)."""
    counts = np.maximum(np.bincount(rows[said], minlength=size), 1)
    means = np.bincount(rows[said], values[said], size) / counts
    deviations = np.where(said, values - means[rows], 0.0)
    spread = np.sqrt(np.bincount(rows, np.square(deviations), size) / counts)
    inverse = np.where(spread > 1e-6, 1.0 / np.maximum(spread, 1e-6), 0.0)
    return (deviations * inverse[rows]).astype(np.float32), inverse.astype(np.float32)


def join_scored(parts: Sequence[Scored]) -> Scored:
    """Return the scores of batches of learners as those of one batch."""
    starts = np.cumsum([0, *(len(part.lengths) for part in parts[:-1])])
    moved = [replace(part, rows=part.rows + start) for part, start in zip(parts, starts, strict=True)]
    return Scored(*(np.concatenate([getattr(part, one.name) for part in moved]) for one in fields(Scored)))


def totals_of(scored: Scored, weights: Floats) -> Floats:
    """Return the score of each pair under the blend's weights, (B, 5)."""
    totals: Floats = np.einsum("pc,pc->p", scored.z, weights[scored.rows])
    return totals - FOREIGN * scored.foreign.astype(np.float32)


def best(scored: Scored, totals: Floats, limit: int) -> tuple[Indices, Indices]:
    """Return the pairs of the best `limit` candidates a learner, best first, ties by course; and their places."""
    order = np.lexsort((scored.courses, -totals, scored.rows))
    rows = scored.rows[order]
    starts = np.searchsorted(rows, rows)  # first pair of the learner
    places = np.arange(len(rows)) - starts
    kept = places < limit
    return order[kept], places[kept]
