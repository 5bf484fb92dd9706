"""Item-item weights: EASE for what is taken together, plus ridge regression for what is taken next."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recommender.model import Ease, Floats
from trainer.ease import ease_weights, largest, low_rank_ease_weights, ridge_of
from trainer.histories import histories_of
from trainer.interactions import Interactions
from trainer.low_rank import Doubles
from trainer.next_course import decayed_rows, low_rank_next_course_weights, next_course_weights
from trainer.settings import TrainerSettings

_BLOCK: Final = 20_000_000
"""Weights at a time, of which the largest are kept: products of fewer rows than a hundred cost three times as much."""

_MOST: Final = 1_000
"""Weights kept a row where all are wanted, and these do not fit into any memory."""


def fit_item_item(
    interactions: Interactions,
    rows: NDArray[np.int64],
    taken: csr_array,
    settings: TrainerSettings,
    seed: int = 0,
    alive: Callable[[], None] = lambda: None,
) -> Ease:
    """Return the weights of who took what, (learners, n) of bool, and of what followed what in the enrolments `rows`.

    Up to `ease_max_courses` courses they are exact: that needs the square of their number, 8 bytes each, four times.
    Beyond, they are of rank `ease_rank`, with memory linear in courses. `alive` is called after each block of rows.
    Raises NotReadyError if the ridge is too small.
    """
    num_courses = taken.shape[1]
    ridge = settings.ease_lambda or ridge_of(taken.nnz)
    before = decayed_rows(histories_of(interactions, rows), settings.ease_decay, num_courses)
    data = taken.astype(np.float64), before, interactions.course[rows]
    blocks: Iterable[Doubles | Floats]
    if num_courses <= settings.ease_max_courses:
        blocks = _exact(*data, ridge, settings.ease_next_weight)
        kept = settings.ease_neighbours or num_courses
    else:
        blocks = _low_rank(*data, ridge, settings, seed)
        kept = settings.ease_neighbours or _MOST
    return Ease(largest(_reported(blocks, alive), num_courses, kept), settings.ease_decay)


def _reported(blocks: Iterable[Doubles | Floats], alive: Callable[[], None]) -> Iterator[Doubles | Floats]:
    """Yield the blocks, and say so each time: of many courses they take many minutes."""
    for block in blocks:
        alive()
        yield block


def _parts(num_courses: int) -> Iterator[slice]:
    """Yield the rows of a block after the other."""
    size = max(_BLOCK // num_courses, 1)
    for start in range(0, num_courses, size):
        yield slice(start, min(start + size, num_courses))


def _exact(
    taken: csr_array, before: csr_array, courses: NDArray[np.int64], ridge: float, next_weight: float
) -> Iterator[Doubles]:
    """Yield the weights block by block, (b, n) each, with a diagonal of 0."""
    weights = ease_weights(taken, ridge)
    if next_weight:
        weights += next_weight * next_course_weights(before, courses, ridge)
    weights[np.diag_indices_from(weights)] = 0.0
    for part in _parts(len(weights)):
        yield weights[part]


def _low_rank(
    taken: csr_array, before: csr_array, courses: NDArray[np.int64], ridge: float, settings: TrainerSettings, seed: int
) -> Iterator[Floats]:
    """Yield about the same."""
    rank, next_weight = settings.ease_rank, settings.ease_next_weight
    together = low_rank_ease_weights(taken, ridge, rank, seed)
    following = low_rank_next_course_weights(before, courses, ridge, rank, seed) if next_weight else None
    for part in _parts(taken.shape[1]):
        weights = together.rows(part)
        if following is not None:
            weights += next_weight * following.rows(part)
        weights[np.arange(len(weights)), np.arange(part.start, part.stop)] = 0.0
        yield weights
