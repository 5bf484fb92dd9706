"""What the scores of a list would lose without each entry of a history, the other entries being as they then are.

An entry that goes lets the older ones age less, and the shares of all others grow: what it adds is more than its own
summand. For item-item, content and the GMF part this is exact; the MLP needs the learner's half without the entry,
which is here too.
"""

from dataclasses import replace
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
    others = np.repeat(own[..., None, :], len(places), axis=-2)
    np.copyto(others, younger[..., None, :], where=later)
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
    scores = _neighbourly(evidence, universe, window, courses, contents, factors)
    prepared = universe.prepared.collaborative
    if prepared is None or evidence.vectors is None or not universe.num_known:
        return Lost(scores, None)
    vectors, halves = _tower(prepared, evidence.vectors, universe, window)
    vectors *= factors[:, :1, None]
    explained = prepared.explained.take(np.where(courses < universe.num_known, courses, -1), axis=0)  # (B, L, d)
    scores[:, :, : vectors.shape[1]] += explained @ vectors.transpose(0, 2, 1)
    return Lost(scores, halves)


def _neighbourly(
    evidence: Evidence, universe: Universe, window: Window, courses: Indices, contents: Floats, factors: Floats
) -> Floats:
    """Return what is lost of item-item and content, (B, L, H)."""
    scores = np.zeros((*courses.shape, window.courses.shape[1]), dtype=np.float32)
    newest = _faded(window, evidence.histories, CONTENT_DECAY)
    norms = _positive(newest.left + (evidence.aside + newest.beyond)[:, None])  # (B, R)
    lost = _sums_lost(universe.content, newest, window, courses)  # (B, L, R)
    lost += contents[:, :, None] * (norms - evidence.content_norms[:, None])[:, None]
    np.multiply(lost, (factors[:, 2, None] / norms)[:, None], out=scores[:, :, : lost.shape[2]])
    if universe.item_item is not None:
        recent = _faded(window, evidence.histories, universe.prepared.decay)
        lost = _sums_lost(universe.item_item, recent, window, courses)
        lost *= factors[:, 1, None, None]
        scores[:, :, : lost.shape[2]] += lost
    return scores


class _Faded(NamedTuple):
    """What decayed weights become without each entry of the newest R: older ones have faded out, with it or without."""

    falls: Floats  # (B, R, R), what each entry's weight falls by
    left: Floats  # (B, R), absolute weights of the window that are left
    beyond: NDArray[np.float64]  # (B,), absolute weights of those older than the window, one age younger
    older: Histories  # those older, by what their weights fall by


def _faded(window: Window, histories: Histories, decay: float) -> _Faded:
    """Return what the weights `w * decay ** age` become without each entry."""
    fade = fading(decay, np.arange(window.weights.shape[1])).astype(np.float32)
    fade = fade[: np.count_nonzero(fade) + 1]  # one that is just negligible counts without a later one
    weights = window.weights[:, : len(fade)]  # (B, R)
    own, younger = weights * fade, weights * np.concatenate((np.zeros(1, np.float32), fade[:-1]))
    ages, older = histories.ages[window.older], histories.weights[window.older]
    before, after = fading(decay, ages), fading(decay, ages - 1)
    beyond = np.bincount(histories.owners[window.older], np.abs(older) * after, len(own)).astype(np.float64)
    shifts = np.zeros_like(histories.weights)
    shifts[window.older] = older * (before - after)
    falls = own[:, None] - _without(own, younger)
    left = _without(np.abs(own), np.abs(younger)).sum(axis=2)
    return _Faded(falls, left, beyond, replace(histories, weights=shifts).keep(shifts != 0))


def _sums_lost(neighbours: Neighbours, faded: _Faded, window: Window, courses: Indices) -> Floats:
    """Return what the sums over entries lose without each of the newest R, (B, L, R)."""
    near = neighbours.near(window.courses[:, : faded.falls.shape[1]], courses)  # (B, R, L)
    lost: Floats = near.transpose(0, 2, 1) @ faded.falls.transpose(0, 2, 1)
    if len(faded.older.courses):
        lost += np.take_along_axis(neighbours.scores(faded.older), courses, axis=1)[:, :, None]
    return lost


def _tower(prepared: Collaborative, own: Vectors, universe: Universe, window: Window) -> tuple[Floats, Floats]:
    """Return what the GMF vector loses without each entry, (B, R, d), and the learner's half without it, (B, H, 128).

    R <= H: entries behind those make no difference.
    """
    neumf, size = prepared.neumf, len(window.weights)
    known = (window.courses < universe.num_known) & (window.weights != 0)
    ages = np.cumsum(known, axis=1) - known
    reach = int(np.count_nonzero(ages <= NEWEST, axis=1).max())
    known, ages, courses = known[:, :reach], ages[:, :reach], window.courses[:, :reach]
    powers = np.power(neumf.decays, np.arange(max(reach, NEWEST) + 1)[:, None], dtype=np.float32)  # (ages, K)
    powers[NEWEST:] = 0.0  # of age -1, too: nothing makes the newest entry younger
    weights = (window.weights[:, :reach] * known)[:, None]  # (B, 1, R)
    at_age, younger = (weights * powers[one].transpose(0, 2, 1) for one in (ages, ages - 1))  # (B, K, R)
    shares = _without(at_age, younger, known[:, None])  # (B, K, R, R)
    shares /= _positive(np.abs(shares).sum(axis=3))[..., None]
    vectors = neumf.history.take(np.minimum(courses, universe.num_known - 1), axis=0)  # (B, R, d)
    pooled = np.empty((size, reach, *neumf.gmf_tower.shape[:2]), dtype=np.float32)  # (B, R, K, d)
    np.matmul(shares, vectors[:, None], out=pooled.transpose(0, 2, 1, 3))
    flat, halves = prepared.projected(pooled.reshape(size * reach, -1))
    lost = own.gmf[:, None] - deepened(neumf, flat).reshape(size, reach, -1)
    halves = halves.reshape(size, reach, -1)
    if (behind := window.weights.shape[1] - reach) > 0:
        whole = prepared.scorer.learner_half(own.mlp)[:, None]
        halves = np.concatenate((halves, np.repeat(whole, behind, axis=1)), axis=1)
    return lost, halves
