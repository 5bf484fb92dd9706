"""Why a course stands in a list: which component speaks most for it, and which course of the history caused it.

A cause is true by construction: without that entry of the history the course's score is lower, all else (candidates,
weights of the blend, means and deviations) held fixed. `leave_out` says what the linear parts lose; the MLP is run for
the entries named, and a name that does not stand is given up for the next one.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recommender.evidence import Evidence
from recommender.history import Learner
from recommender.leave_out import Window, lost_of, window_of
from recommender.model import Floats
from recommender.neumf import Scorer
from recommender.rank import Indices, Scored
from recommender.universe import Mask, Universe
from schemas.candidates import Source

_SPEAKERS = np.array([Source.COLLABORATIVE, Source.CONTENT, Source.POPULAR, Source.TRENDING], dtype=np.int64)
_CAUSED: Final = (Source.COLLABORATIVE, Source.CONTENT)
_SHOWN: Final = 10
"""A new course among so many first stands there by its own merit, and has the reason for it."""
_TRIES: Final = 3
"""Entries that are tried for a course before it is left without a cause."""
EXPLAINED: Final = 100
"""Places of a list that are given causes: nobody reads further."""
_ROUNDING: Final = 1e-5
"""What a score must fall by, as part of what its components add to it: more than float32 rounds."""


def sources_of(
    scored: Scored, weights: Floats, evidence: Evidence, pairs: Indices, places: Indices, universe: Universe
) -> Indices:
    """Return the `Source` of each of these pairs and places; `weights` are the blend's, (B, 5)."""
    rows, courses = scored.rows.take(pairs), scored.courses.take(pairs)
    parts = scored.z.take(pairs, axis=0) * weights.take(rows, axis=0)
    said = np.abs(weights) * scored.inverse > 0
    merge = np.array([[1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=np.float32)
    audible = said.astype(np.float32) @ merge > 0  # (B, 4)
    heard = np.where(audible, 0.0, -np.inf).astype(np.float32)
    sources: Indices = _SPEAKERS[(parts @ merge + heard[rows]).argmax(axis=1)]
    sources[(~audible.any(axis=1) | evidence.silent)[rows]] = Source.POPULAR
    sources[(courses >= universe.num_known) & (sources != Source.CONTENT)] = Source.NEW
    if evidence.interest is not None:
        cells = rows * len(universe) + courses
        asked = evidence.interest.take(cells) > np.maximum(evidence.content.take(cells), 0)
        sources[(sources == Source.CONTENT) & asked] = Source.INTERESTS
    sources[scored.fresh[pairs] & (places >= _SHOWN)] = Source.NEW
    return sources


def causes_of(
    learners: Sequence[Learner],
    scored: Scored,
    weights: Floats,
    evidence: Evidence,
    universe: Universe,
    pairs: Indices,
    places: Indices,
    sources: Indices,
) -> NDArray[np.int32]:
    """Return the place in the learner's entries of what adds most to each pair's score, (pairs,); -1 for none."""
    window, wanted = window_of(evidence), np.isin(sources, _CAUSED, kind="table") & (places < EXPLAINED)
    if not window.positions.size or not wanted.any():
        return np.full(len(pairs), -1, dtype=np.int32)
    rows, factors = scored.rows[pairs], weights * scored.inverse  # (B, 5), what one unit of a component adds
    shape = (len(learners), int(places[wanted].max()) + 1)
    cells = rows * shape[1] + places  # of a wanted pair in the table of learners and places
    courses, contents = np.full(shape, -1, dtype=np.int64), np.zeros(shape, dtype=np.float32)
    courses.flat[cells[wanted]] = scored.courses[pairs[wanted]]
    contents.flat[cells[wanted]] = scored.values[pairs[wanted], 2]
    lost = lost_of(evidence, universe, window, courses, contents, factors)
    falls = lost.scores
    falls += np.where(_nameable(learners, window), 0.0, -np.inf).astype(np.float32)[:, None]
    falls = falls.reshape(-1, falls.shape[2])  # (B * L, H)
    scorer = universe.prepared.collaborative.scorer if universe.prepared.collaborative else None
    causes, left = np.full(len(pairs), -1, dtype=np.int32), np.flatnonzero(wanted)
    margins = np.zeros(len(pairs), dtype=np.float32)
    sizes = np.abs(scored.values[pairs[left], :3]) + 1e-3
    margins[left] = _ROUNDING * np.vecdot(np.abs(factors[rows[left], :3]), sizes)
    for _ in range(_TRIES):
        entry = falls.take(cells[left], axis=0).argmax(axis=1)
        fall = falls[cells[left], entry]
        left, entry, fall = (one[fall > margins[left]] for one in (left, entry, fall))
        row = rows[left]
        if lost.halves is not None and scorer is not None:
            halves, cell = lost.halves.reshape(-1, lost.halves.shape[2]), row * falls.shape[1] + entry
            deep = _deep_without(scorer, halves, cell, scored.courses[pairs[left]], universe.heard)
            fall = fall + factors[row, 0] * (scored.deep[pairs[left]] - deep)
        true = fall > margins[left]
        causes[left[true]] = window.positions[row[true], entry[true]]
        left, entry = left[~true], entry[~true]
        falls[cells[left], entry] = -np.inf
    return causes


def _deep_without(scorer: Scorer, halves: Floats, rows: Indices, courses: Indices, heard: Mask) -> Floats:
    """Return the MLP's part of the logits of pairs (half `rows[i]`, course `courses[i]`); 0 for those not heard of."""
    if (known := heard[courses]).all():
        return scorer.deep(halves, rows, courses)
    deep = np.zeros(len(courses), dtype=np.float32)
    deep[known] = scorer.deep(halves, rows[known], courses[known])
    return deep


def _nameable(learners: Sequence[Learner], window: Window) -> Mask:
    """Return which entries may be named: courses that were taken, of positive weight, (B, H)."""
    nameable: Mask = window.weights > 0
    for row, learner in enumerate(learners):
        if len(learner.taken) < len(learner.entries):
            for place in np.flatnonzero(nameable[row]).tolist():
                entry = learner.entries[window.positions[row, place]]
                nameable[row, place] = entry.course_id in learner.taken
    return nameable
