"""Why a course stands in a list: which component speaks most for it, and which course of the history caused it."""

import numpy as np
from numpy.typing import NDArray

from recommender.evidence import Evidence
from recommender.model import Floats
from recommender.rank import Indices, Scored
from recommender.universe import Universe
from schemas.candidates import Source

_SPEAKERS = np.array([Source.COLLABORATIVE, Source.CONTENT, Source.POPULAR, Source.TRENDING], dtype=np.int64)


def sources_of(scored: Scored, weights: Floats, evidence: Evidence, pairs: Indices, num_known: int) -> Indices:
    """Return the `Source` of each of these pairs; `weights` are the blend's, (B, 5)."""
    rows, courses = scored.rows[pairs], scored.courses[pairs]
    parts = scored.z[pairs] * weights[rows]
    said = (np.abs(weights) * scored.inverse > 0)[rows]
    speakers = np.column_stack([parts[:, 0] + parts[:, 1], parts[:, 2], parts[:, 3], parts[:, 4]])
    audible = np.column_stack([said[:, 0] | said[:, 1], said[:, 2], said[:, 3], said[:, 4]])
    sources: Indices = _SPEAKERS[np.where(audible, speakers, -np.inf).argmax(axis=1)]
    sources[~audible.any(axis=1) | evidence.silent[rows]] = Source.POPULAR
    sources[(courses >= num_known) & (sources != Source.CONTENT)] = Source.NEW
    asked = evidence.interest[rows, courses] > np.maximum(evidence.content[rows, courses], 0)
    sources[(sources == Source.CONTENT) & asked] = Source.INTERESTS
    return sources


def causes_of(
    scored: Scored, weights: Floats, evidence: Evidence, universe: Universe, pairs: Indices, places: Indices, limit: int
) -> NDArray[np.int32]:
    """Return the place in the learner's entries of what adds most to each pair's score, (pairs,); -1 for none."""
    recent, rows = evidence.recent, scored.rows[pairs]
    chosen = np.full((len(recent), limit), -1, dtype=np.int64)
    chosen[rows, places] = scored.courses[pairs]
    slots = np.full((len(recent), len(universe)), -1, dtype=np.int16)
    slots[rows, scored.courses[pairs]] = places
    factors = weights * scored.inverse  # (B, 5), what one unit of a component adds to the score
    table = _neighbourly(evidence, universe, factors, slots, limit)
    _add_gmf(table, evidence, universe, factors[:, 0], chosen)
    table[recent.weights <= 0] = -np.inf
    own = slots[recent.owners, recent.courses]
    table[own >= 0, own[own >= 0]] = -np.inf  # a course is no reason for itself
    causes = np.full((len(recent), limit), -1, dtype=np.int32)
    for row, (start, end) in enumerate(zip(recent.starts[:-1], recent.starts[1:], strict=True)):
        if start < end:
            part = table[start:end]
            strongest = part.argmax(axis=0)
            adds = part[strongest, np.arange(limit)] > 0
            causes[row] = np.where(adds, recent.positions[start:end][strongest], -1)
    return causes[rows, places]


def _neighbourly(
    evidence: Evidence, universe: Universe, factors: Floats, slots: NDArray[np.int16], limit: int
) -> Floats:
    """Return what each entry adds by item-item and content, (E, limit)."""
    recent = evidence.recent
    owners = recent.owners
    content = factors[:, 2] / evidence.content_norms
    table = universe.content.contributions(recent, slots, limit) * content[owners, None]
    if universe.item_item is not None:
        table += universe.item_item.contributions(recent, slots, limit) * factors[owners, 1, None]
    return table


def _add_gmf(table: Floats, evidence: Evidence, universe: Universe, factors: Floats, chosen: NDArray[np.int64]) -> None:
    """Add to `table` what each entry adds to the GMF part of the logit: an exact decomposition of that part."""
    prepared, recent = universe.prepared.collaborative, evidence.recent
    if prepared is None:
        return
    known = np.minimum(recent.courses, universe.num_known - 1)  # new courses have shares of 0
    vectors = np.zeros((len(known), prepared.explained.shape[1]), dtype=np.float32)
    for k in range(evidence.entry_shares.shape[1]):
        vectors += evidence.entry_shares[:, k, None] * prepared.entry_vectors[k][known]  # (E, d)
    targets = prepared.explained[np.minimum(chosen, universe.num_known)]  # (B, limit, d); -1 and new: the zero row
    for row, (start, end) in enumerate(zip(recent.starts[:-1], recent.starts[1:], strict=True)):
        table[start:end] += vectors[start:end] @ targets[row].T * factors[row]
