"""Ranking: five component scores a candidate, centred among a learner's candidates, weighted by length of history."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recommender.blend import POPULAR, Blend
from recommender.evidence import Evidence
from recommender.history import Learner
from recommender.model import Floats
from recommender.retrieve import Candidates
from recommender.universe import Mask, Universe
from schemas.candidates import COMPONENTS

FOREIGN: Final = 16.0
"""Taken from the score of a course in none of the learner's languages: more than blended z-scores differ by."""

SAME_LEVEL: Final = 0.1
"""Added to the score of a course at the level that the learner declares: it decides among near equals."""

WISHED: Final = 1.5
"""Least weight of content, in parts of all others, for a learner without a history who has said or shown what he looks
for: the log that weights are fitted on holds few such learners."""

_SILENT: Final = np.array([0, 0, 0, 1, 1], dtype=np.float32)
"""What may speak for who is unknown: what is popular, of all time and lately."""
_NOISE: Final = 1e-5
"""What differs less than this part of its size is rounding."""

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Scored:
    """P pairs of learner and candidate, by learner. Columns follow `schemas.candidates.COMPONENTS`."""

    rows: Indices  # (P,), ascending
    courses: Indices  # (P,), dense index in the universe, ascending within a learner
    values: Floats  # (P, 5): logit, EASE score, cosine, popularity and trend 0..1
    z: Floats  # (P, 5), deviations from the learner's mean, in scales of the blend
    inverse: Floats  # (B, 5), 1 / scale; 0 where a component says nothing
    lengths: NDArray[np.int64]  # (B,), known entries of positive weight: what the blend goes by
    deep: Floats  # (P,), the MLP's part of the logit
    bias: Floats  # (P,), added to the blended score: `SAME_LEVEL`, and -`FOREIGN` for a course in a foreign language
    fresh: Mask  # (P,), new courses that a place is kept for


def score(
    learners: Sequence[Learner],
    evidence: Evidence,
    candidates: Candidates,
    preferred: Mask,
    universe: Universe,
    popularity: tuple[Floats, Floats],
    measured: Mask | None = None,
) -> Scored:
    """Return the component scores of the candidates; `popularity`: of all time and lately, (N,) each.

    Means and deviations are those of `measured`, (B, N), among the candidates; of all if it is None.
    """
    size, num_courses = candidates.chosen.shape
    cells = np.flatnonzero(candidates.chosen)  # (P,)
    rows, courses = np.divmod(cells, max(num_courses, 1))
    heard, scales = universe.heard[courses], universe.prepared.model.blend.scales
    values = np.empty((len(COMPONENTS), len(rows)), dtype=np.float32)
    values[0], deep = _logits(evidence, rows, courses, heard, universe)
    values[1] = evidence.item_item.take(cells)
    values[2] = evidence.content.take(cells)
    if evidence.interest is not None:
        values[2] += evidence.interest.take(cells)
    values[3:] = [one.take(courses) for one in popularity]
    typical = None if measured is None else measured.take(cells)
    z, inverse = _standardise(values, heard, typical, rows, size, scales)
    bias = np.where(preferred.take(cells), 0.0, -FOREIGN).astype(np.float32)
    _add_level(bias, learners, rows, courses, universe)
    fresh = np.zeros(len(rows), np.bool_) if candidates.fresh is None else candidates.fresh.take(cells)
    by_pair, z_by_pair, by_learner = (np.ascontiguousarray(one.T) for one in (values, z, inverse))
    return Scored(rows, courses, by_pair, z_by_pair, by_learner, evidence.lengths, deep, bias, fresh)


def _logits(
    evidence: Evidence, rows: Indices, courses: Indices, heard: Mask, universe: Universe
) -> tuple[Floats, Floats]:
    """Return NeuMF's logits and their MLP parts; courses it has not heard of get the least of their learner's."""
    prepared = universe.prepared.collaborative
    if prepared is None or evidence.vectors is None:
        return np.zeros(len(rows), dtype=np.float32), np.zeros(len(rows), dtype=np.float32)
    scorer, logits, deep = prepared.scorer, *np.zeros((2, len(rows)), dtype=np.float32)
    own: Mask | slice = slice(None) if heard.all() else heard  # slices copy nothing
    own_rows, own_courses = rows[own], courses[own]
    deep[own] = scorer.deep_of(evidence.vectors.mlp, own_rows, own_courses)
    if evidence.shallow is None:
        logits[own] = scorer.shallow(evidence.vectors.gmf, own_rows, own_courses)
    else:
        logits[own] = evidence.shallow.take(own_rows * universe.num_known + own_courses)
    logits += deep
    if heard.all():
        return logits, deep
    least = np.full(len(evidence.lengths), np.inf, dtype=np.float32)
    np.minimum.at(least, rows[heard], logits[heard])
    logits[~heard] = np.where(np.isfinite(least), least, 0.0)[rows[~heard]]
    return logits, deep


def _standardise(
    values: Floats, heard: Mask, measured: Mask | None, rows: Indices, size: int, scales: Floats | None
) -> tuple[Floats, Floats]:
    """Return deviations within each learner in parts of a scale, (5, P), and 1 / scale, (5, B), of scores, (5, P).

    Without scales it is each learner's standard deviation. What does not vary says nothing, nor do network and
    item-item of courses that were not `heard` of: their deviation is 0.
    """
    pairs = np.bincount(rows, minlength=size)
    filled = np.flatnonzero(pairs)
    if not len(filled):
        return np.zeros_like(values), np.zeros((len(values), size), dtype=np.float32)
    pairs, starts = pairs[filled], np.searchsorted(rows, filled)
    said = np.ones_like(values)
    said[:2] = heard
    counted = said if measured is None else said * measured
    counts = np.maximum(np.add.reduceat(counted, starts, axis=1), 1.0)  # (5, learners with candidates)
    means = np.add.reduceat(values * counted, starts, axis=1) / counts
    z = values - np.repeat(means, pairs, axis=1)
    z *= said
    spread = np.sqrt(np.add.reduceat(np.square(z) * counted, starts, axis=1) / counts)
    unit = 1.0 / np.maximum(spread, 1e-6) if scales is None else 1.0 / scales[:, None]
    inverse = np.zeros((len(values), size), dtype=np.float32)
    inverse[:, filled] = np.where(spread > np.maximum(_NOISE * np.abs(means), 1e-6), unit, 0.0)
    z *= np.repeat(inverse[:, filled], pairs, axis=1)
    return z, inverse


def _add_level(bias: Floats, learners: Sequence[Learner], rows: Indices, courses: Indices, universe: Universe) -> None:
    for row, learner in enumerate(learners):
        if learner.profile.level:
            first, last = np.searchsorted(rows, [row, row + 1])
            bias[first:last] += SAME_LEVEL * universe.at_level(learner.profile.level)[courses[first:last]]


def weights_of(blend: Blend, evidence: Evidence) -> Floats:
    """Return the weights of the components for each learner, (B, 5)."""
    weights = blend.rows(evidence.lengths)
    cold = evidence.wishes & (evidence.lengths == 0)
    others = np.abs(weights[cold]).sum(axis=1) - np.abs(weights[cold, 2])
    weights[cold, 2] = np.maximum(weights[cold, 2], WISHED * others)
    weights[evidence.silent] = silent_weights(blend)
    return weights


def silent_weights(blend: Blend) -> Floats:
    """Return the weights for who is unknown, (5,): the blend's of what is popular, of all time and lately."""
    weights: Floats = blend.rows(np.zeros(1, np.int64))[0] * _SILENT
    if not weights.any():
        weights[POPULAR] = 1.0
    return weights


def join_scored(parts: Sequence[Scored]) -> Scored:
    """Return the scores of batches of learners as those of one batch."""
    starts = np.cumsum([0, *(len(part.lengths) for part in parts[:-1])])
    moved = [replace(part, rows=part.rows + start) for part, start in zip(parts, starts, strict=True)]
    return Scored(*(np.concatenate([getattr(part, one.name) for part in moved]) for one in fields(Scored)))


def totals_of(scored: Scored, weights: Floats) -> Floats:
    """Return the score of each pair under the blend's weights, (B, 5)."""
    totals: Floats = np.vecdot(scored.z, weights.take(scored.rows, axis=0))
    return totals + scored.bias


def best(scored: Scored, totals: Floats, limit: int) -> tuple[Indices, Indices]:
    """Return the pairs of the best `limit` candidates a learner, best first, ties by course; and their places.

    Fresh ones that are not among them take the last places.
    """
    order = descending(scored.rows, totals)
    starts = np.searchsorted(scored.rows, np.arange(len(scored.lengths) + 1))
    places = np.arange(len(order)) - starts[scored.rows]  # rows of `order` are those of `scored`
    if scored.fresh.any():
        order = _with_fresh(scored, order, limit)
        rows = scored.rows[order]
        return order, np.arange(len(order)) - np.searchsorted(rows, rows)
    kept = places < limit
    return order[kept], places[kept]


def _with_fresh(scored: Scored, order: Indices, limit: int) -> Indices:
    """Return the pairs that are kept, in their order: of each learner the fresh ones, and the best others."""
    fresh, rows = scored.fresh[order], scored.rows
    room = limit - np.bincount(rows[fresh], minlength=len(scored.lengths))  # for others
    before: Indices = np.cumsum(~fresh) - ~fresh
    better = before - before[np.searchsorted(rows, rows)]  # others of the learner that stand before
    return order[fresh | (better < room[rows])]


def descending(rows: Indices, totals: Floats) -> Indices:
    """Return the order of pairs by row, then falling total, ties as they stand.

    >>> descending(np.array([0, 0, 0, 1]), np.array([1, 3, 3, 9], dtype=np.float32)).tolist()
    [1, 2, 0, 3]
    """
    bits = (0.0 - totals).astype(np.float32).view(np.int32).astype(np.int64)
    rising = np.where(bits < 0, bits ^ 0x7FFFFFFF, bits) + 2**31  # integers that order as the floats do
    width = len(rows).bit_length()
    keys = np.sort(((rows << 32 | rising) << width) | np.arange(len(rows)))  # no two alike: one quick sort
    order: Indices = keys & ((1 << width) - 1)
    return order
