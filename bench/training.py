"""Speed of training: the same network by our loop and by a plain one, turn by turn; and the network that is served."""

import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from bench.plain_training import PlainTraining
from trainer.fit import fit_neumf
from trainer.interactions import Interactions
from trainer.neumf_id import Training
from trainer.settings import TrainerSettings

LEARNERS: Final = 6_000
COURSES: Final = 3_700
ENROLMENTS: Final = 200_000
"""About a fifth of MovieLens-1M, which has as many users and films."""

TURNS: Final = 5
SEED: Final = 1


class TrainingSpeed(NamedTuple):
    """Pairs a second, medians of `TURNS` turns; `ratio` is the median of ours to plain, turn by turn."""

    pairs_per_s: float
    plain_pairs_per_s: float
    ratio: float
    served_enrolments_per_s: float
    """Of the network with the history tower, each enrolment among all courses."""
    threads: int


def interactions(learners: int, courses: int, enrolments: int, seed: int = SEED) -> Interactions:
    """Return enrolments drawn at random, courses by Zipf's law, each learner's in an order and none twice."""
    random = np.random.default_rng(seed)
    weights = 1.0 / np.arange(10, courses + 10)
    owners = random.integers(learners, size=2 * enrolments)
    taken = random.choice(courses, size=2 * enrolments, p=weights / weights.sum())
    first = np.sort(np.unique(owners * courses + taken, return_index=True)[1])[:enrolments]
    first = first[np.argsort(owners[first], kind="stable")]
    owners, taken = owners[first], taken[first]
    return _with_histories(owners, taken, (learners, courses))


def _with_histories(owners: NDArray[np.int64], taken: NDArray[np.int64], shape: tuple[int, int]) -> Interactions:
    """Return the enrolments with what stood before each: all earlier ones of the learner."""
    rows = np.arange(len(owners))
    lengths = rows - np.searchsorted(owners, owners)
    starts = np.concatenate(([0], np.cumsum(lengths)))
    entries = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths) + np.repeat(rows - lengths, lengths)
    return Interactions(
        course_ids=tuple(f"c{course:05}" for course in range(shape[1])),
        user_ids=tuple(f"u{learner:05}" for learner in range(shape[0])),
        learner=owners, course=taken, occurred_us=rows,
        history_starts=starts, history_courses=taken[entries].astype(np.int32),
        history_weights=np.ones(len(entries), dtype=np.float32),
        taken_learner=owners, taken_course=taken, taken_us=rows,
    )  # fmt: skip


def measure(
    settings: TrainerSettings, seconds: float, shape: tuple[int, int, int] = (LEARNERS, COURSES, ENROLMENTS)
) -> TrainingSpeed:
    """Return the speeds; each turn trains about so many seconds by each loop, on the same enrolments."""
    found = interactions(*shape)
    each = 1 + settings.train_negatives
    ours = Training(found, settings, SEED)
    size = len(ours.learners), shape[1], settings.train_dimensions
    rows = np.searchsorted(ours.learners, found.learner)
    positives = list(zip(rows.tolist(), found.course.tolist(), strict=True))
    plain = PlainTraining(positives, size, settings.train_negatives, settings.train_learning_rate, SEED)
    torch.set_num_threads(settings.train_threads)
    steps = _for_ever(ours)
    next(steps)
    plain.run(0.1)  # what is made at first use is made
    turns = [(_rate(lambda: next(steps) * each, seconds), _of(plain.run(seconds))) for _ in range(TURNS)]
    return TrainingSpeed(
        pairs_per_s=round(median(mine for mine, _ in turns)),
        plain_pairs_per_s=round(median(other for _, other in turns)),
        ratio=round(median(mine / other for mine, other in turns), 2),
        served_enrolments_per_s=round(_served(found, settings)),
        threads=settings.train_threads,
    )


def _for_ever(training: Training) -> Iterator[int]:
    """Yield the enrolments of each step."""
    while True:
        yield from training.steps()


def _rate(work: Callable[[], int], seconds: float) -> float:
    done, began = 0, time.perf_counter()
    while (taken := time.perf_counter() - began) < seconds:
        done += work()
    return done / taken


def _of(run: tuple[int, float]) -> float:
    pairs, seconds = run
    return pairs / seconds


def _served(found: Interactions, settings: TrainerSettings) -> float:
    """Return the enrolments a second of two epochs of the network with the history tower, the first left out."""
    marks = [time.perf_counter()]
    fit_neumf(found, settings.model_copy(update={"train_epochs": 2}), SEED, lambda _: marks.append(time.perf_counter()))
    return len(found) / (marks[2] - marks[1])
