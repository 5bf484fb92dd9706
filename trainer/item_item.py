"""Item-item weights: EASE for what is taken together, plus ridge regression for what is taken next."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recommender.model import Ease
from trainer.ease import ease_weights, largest, ridge_of
from trainer.histories import histories_of
from trainer.interactions import Interactions
from trainer.next_course import decayed_rows, next_course_weights
from trainer.settings import TrainerSettings


class Columns(NamedTuple):
    """The courses that take part: the most popular m of n."""

    chosen: NDArray[np.int64]  # (m,), ascending
    place: NDArray[np.int64]  # (n,), of a course among them, or -1

    @classmethod
    def most_taken(cls, taken: csr_array, most: int) -> "Columns":
        """Return the columns of the courses that most learners took."""
        counts = np.asarray(taken.sum(axis=0)).ravel()
        chosen = np.sort(np.argsort(-counts, kind="stable")[:most])
        place = np.full(taken.shape[1], -1, dtype=np.int64)
        place[chosen] = np.arange(len(chosen))
        return cls(chosen, place)


def fit_item_item(
    interactions: Interactions, rows: NDArray[np.int64], taken: csr_array, settings: TrainerSettings
) -> Ease:
    """Return the weights of who took what, (learners, n) of bool, and of what followed what in the enrolments `rows`.

    Only the `ease_max_courses` most popular courses take part: the inverse needs the square of their number, 8 bytes
    each, four times. The others have empty rows. Raises NotReadyError if the ridge is too small for the data.
    """
    columns = Columns.most_taken(taken, settings.ease_max_courses)
    ridge = settings.ease_lambda or ridge_of(taken.nnz)
    weights = ease_weights(taken[:, columns.chosen].astype(np.float64), ridge)
    if settings.ease_next_weight:
        weights += settings.ease_next_weight * _next(interactions, rows, columns, ridge, settings.ease_decay)
    kept = settings.ease_neighbours or len(columns.chosen)
    return Ease(largest(weights, columns.chosen, taken.shape[1], kept), settings.ease_decay)


def _next(
    interactions: Interactions, rows: NDArray[np.int64], columns: Columns, ridge: float, decay: float
) -> NDArray[np.float64]:
    """Return the weights of what followed what, without the diagonal, (m, m)."""
    rows = rows[columns.place[interactions.course[rows]] >= 0]
    before = decayed_rows(histories_of(interactions, rows), decay, len(interactions.course_ids))
    courses = columns.place[interactions.course[rows]]
    weights = next_course_weights(before[:, columns.chosen], courses, ridge)
    weights[np.diag_indices_from(weights)] = 0.0
    return weights
