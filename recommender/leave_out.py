"""What the scores of a list would lose without each entry of a history, the other entries being as they then are.

An entry that goes lets the older ones age less, and the shares of all others grow: what it adds is more than its own
summand. For item-item, content and the GMF part this is exact; the MLP needs the learner's half without the entry,
which is here too.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.evidence import CONTENT_DECAY, Evidence
from recommender.model import Floats
from recommender.neighbours import Neighbours, fading
from recommender.rank import Indices
from recommender.tower import NEWEST, Histories, Vectors, deepened
from recommender.universe import Collaborative, Mask, Universe

MAX_CAUSES: Final = 100
"""Only the newest so many entries are looked at: more than the tower reads."""


class Window(NamedTuple):
    """The newest H entries of B learners, newest first: place h holds the entry of age h."""

    courses: Indices  # (B, H); 0 where there is none
    weights: Floats  # (B, H); 0 where there is none
    positions: NDArray[np.int32]  # (B, H), place among the learner's entries; -1 where there is none
    older: Indices  # (O,), entries of the histories that are not in the window


class Lost(NamedTuple):
    """What a learner loses without each entry."""

    scores: Floats  # (B, L, H), of the blended score of each listed course, but for the MLP
    halves: Floats | None  # (B, H, 128), the learner's half of the MLP's first layer that is left


def window_of(evidence: Evidence) -> Window:
    """Return the newest `MAX_CAUSES` entries of each history."""
    histories = evidence.histories
    ages, owners = histories.ages, histories.owners
    height = min(int(ages.max(initial=-1)) + 1, MAX_CAUSES)
    shape, near = (len(histories), height), ages < height
    cells = owners[near], ages[near]
    courses, weights = np.zeros(shape, np.int64), np.zeros(shape, np.float32)
    positions = np.full(shape, -1, np.int32)
    courses[cells], weights[cells] = histories.courses[near], histories.weights[near]
    positions[cells] = histories.positions[near]
    return Window(courses, weights, positions, np.flatnonzero(~near))


def _without(own: Floats, younger: Floats, ageing: Mask | None = None) -> Floats:
    """Return what the entries weigh without each one, (..., H, H): row e is without e, so the older ones age less.

    `own`, (..., H): weight of an entry at its age; `younger`: at one less; `ageing`: entries that make others older.
    """
    places = np.arange(own.shape[-1])
    later = places[:, None] < places[None, :]  # [e, i]: i is older than e
    if ageing is not None:
        later = later & ageing[..., None]
    others = np.where(later, younger[..., None, :], own[..., None, :])
    others[..., places, places] = 0.0
    return others


def _positive(mass: NDArray[np.floating]) -> Floats:
    return np.where(mass > 0, mass, 1.0).astype(np.float32)


def lost_of(
    evidence: Evidence, universe: Universe, window: Window, courses: Indices, contents: Floats, factors: Floats
) -> Lost:
    """Return what is lost of the listed courses' scores without each entry of the window.

    Parameters
    ----------
    courses : (B, L), -1 where a list has ended
    contents : (B, L), content scores of these courses
    factors : (B, 5), what one unit of a component adds to a score
    """
    left, right = _neighbourly(evidence, universe, window, courses, contents, factors)
    prepared, halves = universe.prepared.collaborative, None
    if prepared is not None and evidence.vectors is not None and universe.num_known:
        vectors, halves = _tower(prepared, evidence.vectors, universe, window)
        halves = prepared.scorer.learner_half(evidence.vectors.mlp)[:, None] - halves
        left.append(vectors * factors[:, :1, None])
        right.append(prepared.explained[np.where(courses < universe.num_known, courses, -1)])  # (B, L, d)
    scores = np.concatenate(right, axis=2) @ np.concatenate(left, axis=2).transpose(0, 2, 1)  # (B, L, H)
    return Lost(scores, halves)


def _neighbourly(
    evidence: Evidence, universe: Universe, window: Window, courses: Indices, contents: Floats, factors: Floats
) -> tuple[list[Floats], list[Floats]]:
    """Return (left, right), lists of (B, H, .) and (B, L, .), whose products are what item-item and content lose."""
    slots, histories = _slots(courses, len(universe)), evidence.histories
    newest = _faded(window, histories, CONTENT_DECAY)
    norms = _positive(newest.left + (evidence.aside + newest.beyond)[:, None])
    per_content = factors[:, 2, None] / norms  # (B, H)
    shrunk = per_content * (norms - evidence.content_norms[:, None])
    left = [newest.falls * per_content[:, :, None], shrunk[:, :, None]]
    right = [_table(universe.content, window, histories, newest.shift, slots, courses.shape), contents[:, :, None]]
    if universe.item_item is not None:
        recent = _faded(window, histories, universe.prepared.decay)
        left.append(recent.falls * factors[:, 1, None, None])
        right.append(_table(universe.item_item, window, histories, recent.shift, slots, courses.shape))
    return left, right


class _Faded(NamedTuple):
    """What decayed weights become without each entry of the window."""

    falls: Floats  # (B, H, H + 1), what each entry's weight falls by; the last: whether those older move at all, 1
    left: Floats  # (B, H), absolute weights of the window that are left
    beyond: NDArray[np.float64]  # (B,), absolute weights of those older than the window, one age younger
    shift: Floats  # (O,), what the weights of those older fall by


def _faded(window: Window, histories: Histories, decay: float) -> _Faded:
    """Return what the weights `w * decay ** age` become without each entry."""
    fade = fading(decay, np.arange(window.weights.shape[1])).astype(np.float32)
    own = window.weights * fade  # (B, H)
    younger = window.weights * np.concatenate((np.zeros(1, np.float32), fade[:-1]))  # (B, H)
    ages, older = histories.ages[window.older], histories.weights[window.older]
    before, after = fading(decay, ages), fading(decay, ages - 1)
    beyond = np.bincount(histories.owners[window.older], np.abs(older) * after, len(own)).astype(np.float64)
    falls = own[:, None] - _without(own, younger)  # (B, H, H)
    left = _without(np.abs(own), np.abs(younger)).sum(axis=2)
    falls = np.concatenate([falls, np.ones((*own.shape, 1), np.float32)], axis=2)
    return _Faded(falls, left, beyond, (older * (before - after)).astype(np.float32))


def _slots(courses: Indices, size: int) -> NDArray[np.int16]:
    """Return the place of each course in the learner's list, (B, N), -1 where it is not listed."""
    slots = np.full((len(courses), size), -1, dtype=np.int16)
    rows, places = (courses >= 0).nonzero()
    slots[rows, courses[rows, places]] = places
    return slots


def _table(
    neighbours: Neighbours,
    window: Window,
    histories: Histories,
    shift: Floats,
    slots: NDArray[np.int16],
    shape: tuple[int, ...],
) -> Floats:
    """Return how near each entry of the window is to each listed course, (B, L, H + 1).

    The last column: what those older than the window lose when they age less, summed, by `shift`, (O,).
    """
    height = window.weights.shape[1]
    table = np.zeros((*shape, height + 1), dtype=np.float32)
    owners, places = window.weights.nonzero()
    entries, chosen, weights = neighbours.hits(window.courses[owners, places], owners, slots)
    table[owners[entries], chosen, places[entries]] = weights
    moved = window.older[shift != 0]
    owners = histories.owners[moved]
    entries, chosen, weights = neighbours.hits(histories.courses[moved], owners, slots)
    np.add.at(table, (owners[entries], chosen, height), weights * shift[shift != 0][entries])
    return table


def _tower(prepared: Collaborative, own_vectors: Vectors, universe: Universe, window: Window) -> tuple[Floats, Floats]:
    """Return what the GMF vector, (B, H, d), and the learner's half, (B, H, 128), lose without each entry."""
    neumf = prepared.neumf
    known = (window.courses < universe.num_known) & (window.weights != 0)
    ages = np.cumsum(known, axis=1) - known
    powers = np.power(neumf.decays, np.arange(MAX_CAUSES)[:, None], dtype=np.float32)  # (ages, K)
    powers[NEWEST:] = 0.0
    powers = np.vstack([powers, np.zeros_like(powers[:1])])  # age -1: nothing makes the newest entry younger
    weights = (window.weights * known)[:, None]  # (B, 1, H)
    # In C order: the tables that follow take over the order of these.
    own, younger = (np.ascontiguousarray(weights * powers[one].transpose(0, 2, 1)) for one in (ages, ages - 1))
    others = _without(own, younger, known[:, None])  # (B, K, H, H)
    norms = _positive(np.abs(own).sum(axis=2))[..., None]  # (B, K, 1)
    without = _positive(np.abs(others).sum(axis=3))  # (B, K, H)
    shares = (own / norms)[:, :, None] - others / without[..., None]  # (B, K, H, H)
    vectors = neumf.history[np.minimum(window.courses, universe.num_known - 1)]  # (B, H, d)
    pooled = shares @ vectors[:, None]  # (B, K, H, d)
    size, rates, height, d = pooled.shape
    lost = pooled.transpose(0, 2, 1, 3).reshape(size * height, rates * d) @ prepared.towers
    lost = lost.reshape(size, height, -1)
    gmf, flat = own_vectors.gmf[:, None], own_vectors.flat[:, None]  # (B, 1, d)
    return gmf - deepened(neumf, flat - lost[..., :d]), lost[..., d:]
