"""What a grades model is held against: damped means, item-kNN and SVD, each fed with the same live sheets.

All three predict a course's damped mean plus what a learner's residuals (his grades less the means) say. Each has one
setting, chosen from `OPTIONS` on validation.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recommender.grades import Sheet
from recommender.model import Floats
from trainer.grades import Grades, Rows

Courses = NDArray[np.int64]
Doubles = NDArray[np.float64]

COURSE_SHRINKAGE: Final = 5.0
"""Grades that pull a course's mean towards the average of all."""

_LEVEL_SHRINKAGE: Final = 1.0
_NEIGHBOURS: Final = 40
_SIMILARITY_SHRINKAGE: Final = 50.0
_FACTORS: Final = 12
_SWEEPS: Final = 6
_LEARNER_PENALTY: Final = 1.0


class Predictor(Protocol):
    """Predicts grades."""

    def predict(self, sheet: Sheet, courses: Courses, /) -> Floats | Doubles:
        """Return the predicted grades, 0..1, of who has this sheet in P courses, (P,)."""
        ...


class Baseline(ABC):
    """A predictor with one setting, which is chosen from `OPTIONS`, fitted on rows of grades."""

    OPTIONS: ClassVar[tuple[float, ...]]

    @abstractmethod
    def __init__(self, grades: Grades, rows: Rows, option: float) -> None: ...

    @abstractmethod
    def predict(self, sheet: Sheet, courses: Courses) -> Doubles:
        """Return the learner's predicted grades in P courses, (P,)."""


def damped_means(grades: Grades, rows: Rows) -> Doubles:
    """Return each course's mean grade, drawn towards that of all, (n,)."""
    course, value = grades.course[rows], grades.value[rows].astype(np.float64)
    n, overall = len(grades.course_ids), float(value.mean())
    sums, counts = np.bincount(course, value - overall, n), np.bincount(course, minlength=n)
    means: Doubles = overall + sums / (counts + COURSE_SHRINKAGE)
    return means


class Bias(Baseline):
    """Damped means: of the course, and of the learner's residuals so far. Option: the learner's shrinkage."""

    OPTIONS: ClassVar[tuple[float, ...]] = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)

    def __init__(self, grades: Grades, rows: Rows, option: float) -> None:
        self._means, self._shrinkage = damped_means(grades, rows), option

    def predict(self, sheet: Sheet, courses: Courses) -> Doubles:
        """Return the learner's predicted grades in P courses, (P,)."""
        residuals = sheet.grades - self._means[sheet.courses]
        predicted: Doubles = self._means[courses] + residuals.sum() / (len(residuals) + self._shrinkage)
        return predicted


class ItemKNN(Baseline):
    """Item-kNN over baselines (Koren, 2010): what the bias model leaves open, from the courses that go with this one.

    Cosines of what is left, over the learners whom two courses share, shrunk where these are few; the 40 nearest of
    positive sign. Option: the shrinkage of the weighted mean.
    """

    OPTIONS: ClassVar[tuple[float, ...]] = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)

    def __init__(self, grades: Grades, rows: Rows, option: float) -> None:
        self._means, self._shrinkage = damped_means(grades, rows), option
        learner, course = grades.learner[rows], grades.course[rows]
        residuals = grades.value[rows] - self._means[course]
        levels = np.bincount(learner, residuals) / (np.bincount(learner) + _LEVEL_SHRINKAGE)
        self._weights = _similarities(learner, course, residuals - levels[learner], len(self._means))

    def predict(self, sheet: Sheet, courses: Courses) -> Doubles:
        """Return the learner's predicted grades in P courses, (P,)."""
        residuals = sheet.grades - self._means[sheet.courses]
        level = residuals.sum() / (len(residuals) + _LEVEL_SHRINKAGE)
        weights = self._weights[np.ix_(courses, sheet.courses)]  # (P, E)
        if weights.shape[1] > _NEIGHBOURS:
            nearest = np.partition(weights, -_NEIGHBOURS, axis=1)[:, -_NEIGHBOURS, None]
            weights = np.where(weights >= nearest, weights, 0.0)
        shares = weights @ (residuals - level) / (weights.sum(axis=1) + self._shrinkage)
        predicted: Doubles = self._means[courses] + level + shares
        return predicted


def _similarities(learner: Rows, course: Rows, values: Doubles, n: int) -> Doubles:
    """Return the shrunk cosines of n courses by the values that learners gave rise to there, (n, n), none below 0."""
    shape = (int(learner.max(initial=-1)) + 1, n)
    table = sparse.csr_array((values, (learner, course)), shape=shape)
    given = sparse.csr_array((np.ones(len(values)), (learner, course)), shape=shape)
    squares = (table.multiply(table).T @ given).toarray()  # (n, n): of the first course's, where the second has one
    shared = (given.T @ given).toarray()
    lengths = np.sqrt(squares * squares.T)
    cosines = np.divide((table.T @ table).toarray(), lengths, out=np.zeros_like(lengths), where=lengths > 0)
    weights: Doubles = np.maximum(cosines * shared / (shared + _SIMILARITY_SHRINKAGE), 0.0)
    return weights


class SVD(Baseline):
    """SVD in the sense of Funk (2006): residual = level of the learner + p . q, fitted by ridge regressions in turn.

    A learner's level and factors are solved from the sheet: as live as the others' means. Option: the courses' penalty.
    """

    OPTIONS: ClassVar[tuple[float, ...]] = (1.0, 4.0, 16.0, 64.0, 256.0)

    def __init__(self, grades: Grades, rows: Rows, option: float) -> None:
        self._means = damped_means(grades, rows)
        self._factors: Doubles = np.random.default_rng(0).normal(scale=0.1, size=(len(self._means), _FACTORS + 1))
        self._factors[:, 0] = 1.0  # times the first of a learner's factors: his level
        residuals = grades.value[rows] - self._means[grades.course[rows]]
        for _ in range(_SWEEPS):
            self._sweep(grades.learner[rows], grades.course[rows], residuals, option)

    def predict(self, sheet: Sheet, courses: Courses) -> Doubles:
        """Return the learner's predicted grades in P courses, (P,)."""
        own = _ridge(self._factors[sheet.courses], sheet.grades - self._means[sheet.courses], _LEARNER_PENALTY)
        predicted: Doubles = self._means[courses] + self._factors[courses] @ own
        return predicted

    def _sweep(self, learner: Rows, course: Rows, residuals: Doubles, penalty: float) -> None:
        """Solve the learners' factors, then the courses'."""
        learners = np.zeros((int(learner.max(initial=-1)) + 1, _FACTORS + 1))
        for one in _groups(learner):
            learners[learner[one[0]]] = _ridge(self._factors[course[one]], residuals[one], _LEARNER_PENALTY)
        left = residuals - learners[learner, 0]
        for one in _groups(course):
            self._factors[course[one[0]], 1:] = _ridge(learners[learner[one], 1:], left[one], penalty)


def _groups(owner: Rows) -> list[Rows]:
    """Return the places of each owner's entries."""
    order = np.argsort(owner, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(owner[order])) + 1)


def _ridge(inputs: Doubles, targets: Doubles, penalty: float) -> Doubles:
    """Return the weights of a ridge regression, (f,), for inputs (E, f)."""
    squares = inputs.T @ inputs + penalty * np.eye(inputs.shape[1])
    return np.asarray(np.linalg.solve(squares, inputs.T @ targets), dtype=np.float64)


def best_option(kind: type[Baseline], grades: Grades, rows: Rows, validation: Rows) -> float:
    """Return the option of the least squared error on validation when fitted on `rows`."""

    def error(option: float) -> float:
        wrong = predict(kind(grades, rows, option), grades, validation) - grades.value[validation]
        return float(np.square(wrong).sum())

    return min(kind.OPTIONS, key=error)


def predict(model: Predictor, grades: Grades, rows: Rows) -> Doubles:
    """Return the predictions of these rows, which ascend, each from what stood before; (R,), 0..1."""
    found = [model.predict(grades.sheet(group[0]), grades.course[group]) for group in grades.groups(rows)]
    predicted: Doubles = np.concatenate([np.empty(0), *found])
    return predicted.clip(0.0, 1.0)
