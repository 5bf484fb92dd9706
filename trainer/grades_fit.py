"""Fit a grades model: expected grades of courses in closed form, then the network on what they leave open."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import numpy as np
import torch
from sklearn.decomposition import TruncatedSVD

from recommender.content import matrix_of
from recommender.grades import GradesNet
from recommender.model import Floats, Text
from schemas.errors import ConfigurationError
from trainer.adam import Adam
from trainer.device import make_deterministic
from trainer.fit import LAST_RATE
from trainer.grades import Grades, Rows
from trainer.grades_baselines import COURSE_SHRINKAGE
from trainer.grades_network import Expected, GradesNetwork, SheetBatch

EPOCHS: Final = 12
"""Most passes over the grades; the validation chooses how many."""

DECAYS: Final = (0.7, 1.0)
SHRINKAGE: Final = 1.0
"""Grades that pull a learner's mean residual towards 0."""

DIMENSIONS: Final = 32
_MOST_FEATURES: Final = 64
_RIDGE: Final = 1.0
_BATCH: Final = 1_024
_FEWEST_STEPS: Final = 32
"""Few grades make smaller batches."""

_RATE: Final = 1e-3
_PENALTY: Final = 1e-5
"""On the squared length of the courses' vectors."""

_DROPPED: Final = (0.1, 0.5)
"""Least and greatest share of the courses that go without their own part in a step."""

_VALIDATED_AT_ONCE: Final = 4_096


def features_of(text: Text) -> Floats:
    """Return the courses' text as a few numbers each, (n, f)."""
    matrix = matrix_of(text.rows)
    if min(matrix.shape) <= _MOST_FEATURES:
        return matrix.toarray()
    reduced: Floats = TruncatedSVD(_MOST_FEATURES, random_state=0).fit_transform(matrix).astype(np.float32)
    return reduced


def expected_of(grades: Grades, rows: Rows, features: Floats) -> Expected:
    """Return what courses' grades are expected to be: a ridge regression on the text, drawn towards what there was."""
    n, course, value = len(grades.course_ids), grades.course[rows], grades.value[rows].astype(np.float64)
    counts, overall = np.bincount(course, minlength=n), float(value.mean())
    above = np.bincount(course, value - overall, n) / np.maximum(counts, 1)  # (n,)
    trust = counts / (counts + COURSE_SHRINKAGE)
    weighted = features.T.astype(np.float64) * trust  # (f, n)
    slopes = np.linalg.solve(weighted @ features + _RIDGE * np.eye(features.shape[1]), weighted @ above)
    prior = features @ slopes
    mean = overall + prior + (above - prior) * trust
    return Expected((overall + prior).astype(np.float32), mean.astype(np.float32), counts)


def dropped_of(grades: Grades, rows: Rows) -> float:
    """Return the share of the courses that go without their own part: as many as are new, within bounds.

    What is new is told by the newest half of the grades: of courses in which the other half has none. Where all courses
    are known, they would only be kept from being learnt.
    """
    moments, course = grades.occurred_us[rows], grades.course[rows]
    is_late = moments >= np.median(moments)
    share = 1.0 - np.isin(course[is_late], course[~is_late]).mean()
    return float(np.clip(share, *_DROPPED))


def sheets_of(grades: Grades, rows: Rows, mean: Floats) -> SheetBatch:
    """Return what stood before the grades of these rows; `recommender.grades.Grader` says the same of one sheet."""
    first, ends = grades.history_starts[rows], grades.history_ends[rows]
    lengths = ends - first
    starts = np.concatenate(([0], np.cumsum(lengths)))
    entries = np.arange(starts[-1]) + np.repeat(first - starts[:-1], lengths)  # (E,)
    ages = np.repeat(ends, lengths) - 1 - entries
    every_age = np.arange(ages.max(initial=0) + 1, dtype=np.float32)
    fades = np.power(np.array(DECAYS, dtype=np.float32), every_age[:, None])  # (ages, K)
    totals = np.cumsum(fades, axis=0) + np.float32(SHRINKAGE)  # of 1, 2, ... grades
    weights = fades[ages] / np.repeat(totals[np.maximum(lengths, 1) - 1], lengths, axis=0)  # (E, K)
    better = grades.value[entries] - mean[grades.course[entries]]
    pools = np.concatenate([(weights * better[:, None]).T, weights.T])  # (2K, E)
    bags = np.arange(len(pools))[:, None] * len(entries) + starts[:-1]  # (2K, B)
    courses = np.tile(grades.course[entries], len(pools))
    return SheetBatch(torch.from_numpy(courses), torch.from_numpy(pools.ravel()), torch.from_numpy(bags.ravel()))


@dataclass
class GradesFitter:
    """Fits grades models on rows of one data set, whose courses have these features, (n, f)."""

    grades: Grades
    features: Floats
    seed: int
    threads: int = 1
    alive: Callable[[], None] = lambda: None
    """Called after each epoch."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    curve: dict[str, list[float]] = field(default_factory=dict)
    """RMSE of training and validation after each epoch of the last `choose`."""

    def choose(self, rows: Rows, validation: Rows) -> int:
        """Return the number of epochs that is best on validation; keep the curve."""
        trained, validated = [], []
        for error, network, expected in self._epochs(rows):
            trained.append(round(error, 6))
            validated.append(round(self._rmse(network, expected, validation), 6))
        self.curve = {"rmse, training": trained, "rmse, validation": validated}
        return int(np.argmin(validated)) + 1

    def fit(self, rows: Rows, epochs: int) -> GradesNet:
        """Return the arrays after so many epochs. Raises ConfigurationError if the training diverges."""
        error, network, expected = next(islice(self._epochs(rows), epochs - 1, None))
        if not np.isfinite(error):
            raise ConfigurationError("the training on grades ended in numbers that are none")
        return network.arrays(np.array(DECAYS, dtype=np.float32), SHRINKAGE, expected.mean)

    def _epochs(self, rows: Rows) -> Iterator[tuple[float, GradesNetwork, Expected]]:
        """Yield the training's RMSE, the network and the expected grades after each epoch."""
        make_deterministic(self.seed, self.threads)
        rng = np.random.default_rng(self.seed)
        expected, dropped = expected_of(self.grades, rows, self.features), dropped_of(self.grades, rows)
        network = GradesNetwork(expected, self.features, DIMENSIONS, len(DECAYS)).to(self.device)
        size = min(_BATCH, max(len(rows) // _FEWEST_STEPS, 1))
        adam = Adam(network.parameters(), _RATE, LAST_RATE * _RATE, EPOCHS * -(-len(rows) // size))
        for _ in range(EPOCHS):
            shuffled, errors = rng.permutation(rows), 0.0
            for start in range(0, len(rows), size):
                part = shuffled[start : start + size]
                drawn = torch.from_numpy(rng.random((len(self.features), 1)) >= dropped)
                kept = (network.is_known & drawn.to(self.device)).float()
                value = torch.from_numpy(self.grades.value[part]).to(self.device)
                error = ((self._predicted(network, expected, part, kept) - value) ** 2).mean()
                adam.step(error + _PENALTY * network.size())
                errors += error.item() * len(part)
            self.alive()
            yield float(np.sqrt(errors / len(rows))), network, expected

    def _predicted(self, network: GradesNetwork, expected: Expected, rows: Rows, kept: torch.Tensor) -> torch.Tensor:
        sheets = sheets_of(self.grades, rows, expected.mean).to(self.device)
        predicted: torch.Tensor = network(sheets, torch.from_numpy(self.grades.course[rows]).to(self.device), kept)
        return predicted

    def _rmse(self, network: GradesNetwork, expected: Expected, rows: Rows) -> float:
        errors, known = 0.0, network.is_known.float()
        with torch.no_grad():
            for start in range(0, len(rows), _VALIDATED_AT_ONCE):
                part = rows[start : start + _VALIDATED_AT_ONCE]
                predicted = self._predicted(network, expected, part, known).clamp(0, 1).cpu()
                errors += float(((predicted.numpy() - self.grades.value[part]) ** 2).sum())
        return float(np.sqrt(errors / len(rows)))
