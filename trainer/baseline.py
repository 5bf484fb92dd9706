"""Models that are compared but not served: dense scores from learned arrays."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from recommender.bundle import load_arrays, save_arrays
from recommender.history import Learner
from recommender.listing import Recommendation
from recommender.model import Floats
from recommender.retrieve import eligible_of
from recommender.tower import Histories, encode
from schemas.candidates import COMPONENTS, Candidate, Source
from schemas.events import AnyEvent
from trainer.known import Known

Arrays = Mapping[str, NDArray[Any]]

_NAME: Final = "arrays.npz"
_SILENT: Final = (0.0,) * len(COMPONENTS)


class Baseline(ABC):
    """A contender (`trainer/contender.py`) that says what it learns, and how that scores courses; all else is here."""

    @abstractmethod
    def train(self, known: Known) -> Arrays:
        """Return what is learned until `known.until_us`, as arrays: what `save` writes, and `arrays` then holds."""

    @abstractmethod
    def score(self, learners: Sequence[Learner]) -> Floats:
        """Return the scores of all courses, (B, n), also of taken ones.

        A row of zeros says nothing: that learner gets the popular courses.
        """

    @abstractmethod
    def alike(self, course: int) -> Floats:
        """Return how much each course is like this one, (n,); 0 and less: not at all."""

    def fit(self, known: Known) -> None:
        """Train, and use what was learned."""
        self.use(self.train(known), known)

    def use(self, arrays: Arrays, known: Known) -> None:
        """Score by these arrays from now on."""
        self.arrays, self.universe, self._population = arrays, known.universe, known.population

    @property
    def course_ids(self) -> tuple[str, ...]:
        """Ids of all n courses, in the order of `scores`."""
        return self.universe.course_ids

    def learn(self, event: AnyEvent) -> None:
        """Count it in popularity."""
        self._population.apply(event)

    def histories(self, learners: Sequence[Learner]) -> Histories:
        """Return the learners' courses of positive weight, oldest first."""
        known = encode(learners, self.universe.index_of)
        return known.keep(known.weights > 0)

    def taken(self, learners: Sequence[Learner]) -> csr_array:
        """Return the same courses as rows of ones, (B, n), whatever their weights."""
        own = self.histories(learners)
        ones = np.ones(len(own.courses), dtype=np.float32)
        return csr_array((ones, own.courses, own.starts), shape=(len(own), len(self.course_ids)))

    def scores(self, learners: Sequence[Learner]) -> Floats:
        """Return the score of every course, (B, n); -inf where it can't be listed."""
        scores = self.score(learners)
        popular, _ = self._population.popularity().arrays(self.course_ids)
        scores = np.where(scores.any(axis=1, keepdims=True), scores, popular)
        return np.where(eligible_of(learners, self.universe), scores, np.float32(-np.inf))

    def recommend(self, learners: Sequence[Learner], limit: int) -> list[Recommendation]:
        """Return a list a learner, best first, ties by course."""
        return [Recommendation((), self._best(row, limit), np.empty(0, np.float32)) for row in self.scores(learners)]

    def similar(self, course_id: str, limit: int) -> tuple[Candidate, ...]:
        """Return the courses most like one, best first; none for an unknown one."""
        course = self.universe.index_of.get(course_id)
        if course is None:
            return ()
        alike = self.alike(course)
        others = (alike > 0) & self.universe.active & (np.arange(len(alike)) != course)
        return self._best(np.where(others, alike, -np.inf), limit)

    def _best(self, scores: Floats, limit: int) -> tuple[Candidate, ...]:
        """Return the `limit` best of the courses that may be listed."""
        order = np.argsort(-scores, kind="stable")[: min(limit, int(np.isfinite(scores).sum()))]
        pairs = zip(order.tolist(), scores[order].tolist(), strict=True)
        return tuple(
            Candidate(self.course_ids[course], score, _SILENT, Source.COLLABORATIVE, None) for course, score in pairs
        )

    def save(self, folder: Path) -> None:
        """Write what was learned."""
        save_arrays(folder / _NAME, self.arrays)

    def load(self, folder: Path, known: Known) -> None:
        """Use what was learned before."""
        self.use(load_arrays(folder / _NAME), known)


def validated(model: Baseline, arrays: Arrays, known: Known) -> float:
    """Return the mean of `1 / log2(1 + rank)` over the validation, of what was taken, by a model with these arrays.

    It is NDCG without a cut, ties counted against the model: few courses would rank at all among the first of many.
    """
    model.use(arrays, known)
    gains: list[float] = []
    for cases, _ in known.validation:
        scores = model.scores([case.learner for case in cases])  # (B, n)
        taken = [known.universe.index_of[case.course_id] for case in cases]
        ranks = (scores >= scores[np.arange(len(cases)), taken][:, None]).sum(axis=1)
        gains += (1.0 / np.log2(1.0 + ranks)).tolist()
    return float(np.mean(gains)) if gains else 0.0


def cosines(vectors: Floats, row: int) -> Floats:
    """Return the cosine of one row with every row, (n,); 0 for a vector of length 0.

    >>> cosines(np.array([[1, 0], [2, 2], [0, 0]], dtype=np.float32), 0).round(3)
    array([1.   , 0.707, 0.   ], dtype=float32)
    """
    lengths = np.linalg.norm(vectors, axis=1)
    products: Floats = vectors @ vectors[row]
    scales = lengths * lengths[row]
    found: Floats = np.divide(products, scales, out=np.zeros_like(products), where=scales > 0)
    return found
