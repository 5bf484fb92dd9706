"""The training loop: large batches, Adam, a learning rate that falls in a line; equal seeds, equal arrays."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from recommender.model import Floats, NeuMF
from schemas.errors import ConfigurationError
from trainer.adam import Adam
from trainer.histories import histories_of, padded
from trainer.interactions import Interactions
from trainer.losses import binary_cross_entropy, focal, softmax_among
from trainer.network import HistoryNeuMF, Towers
from trainer.sampling import draw_negatives, draw_rivals, taken_rows
from trainer.settings import TrainerSettings
from trainer.stopping import Validation

LAST_RATE = 0.05
"""The learning rate falls to this part of the first."""

LEAST_STEPS_AN_EPOCH = 32
"""Few enrolments make smaller batches: an epoch has at least about so many steps."""


@dataclass(frozen=True)
class Plan:
    """How many enrolments a step takes, and how many steps there are."""

    batch: int
    steps: int

    @classmethod
    def of(cls, enrolments: int, settings: TrainerSettings) -> "Plan":
        """Return the plan for so many enrolments."""
        largest = max(settings.train_batch_pairs // (1 + settings.train_negatives), 1)
        batch = min(largest, max(128, enrolments // LEAST_STEPS_AN_EPOCH))
        return cls(batch, settings.train_epochs * -(-enrolments // batch))


def trainable(interactions: Interactions, until_us: int | None) -> NDArray[np.int64]:
    """Return the rows of the enrolments before a moment, by learners who have left a course untaken."""
    rows = interactions.before(until_us)
    counts = np.asarray(interactions.taken_before(until_us).sum(axis=1)).ravel()
    return rows[counts[interactions.learner[rows]] < len(interactions.course_ids)]


def newest(interactions: Interactions, rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return the newest of the rows, at most so many, in their order."""
    if len(rows) <= most:
        return rows
    return np.sort(rows[np.argsort(-interactions.occurred_us[rows], kind="stable")[:most]])


def make_deterministic(seed: int, threads: int) -> None:
    """Fix all that a training on CPU depends on: seed, threads, algorithms."""
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("error")  # as use_deterministic_algorithms, which imports 5 s of compiler


def batches(rows: NDArray[np.int64], size: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of an epoch's steps: every enrolment once, in a new order."""
    shuffled = rng.permutation(rows)
    for start in range(0, len(rows), size):
        yield shuffled[start : start + size]


def fit_neumf(
    interactions: Interactions,
    settings: TrainerSettings,
    seed: int,
    progress: Callable[[float], None],
    until_us: int | None = None,
    epochs: int | None = None,
    validation: Validation | None = None,
) -> NeuMF:
    """Return the network trained on the enrolments before `until_us` (None: all).

    A course that a learner takes later counts as not taken: nothing of the future is used. With `epochs` the training
    ends after so many, on the same curve of learning rates; with a validation it ends when that says so, and the best
    epoch is returned. Raises ConfigurationError if it diverges.
    """
    make_deterministic(seed, settings.train_threads)
    rng = np.random.default_rng(seed)
    rows = newest(interactions, trainable(interactions, until_us), settings.train_max_targets)
    decays = np.array(settings.train_decays, dtype=np.float32)
    network = HistoryNeuMF(len(interactions.course_ids), settings.train_dimensions, len(decays), settings.train_dropout)
    plan, last = Plan.of(len(rows), settings), epochs or settings.train_epochs
    rate = settings.train_learning_rate
    adam = Adam(network.parameters(), rate, LAST_RATE * rate, plan.steps)
    taken = interactions.taken_before(until_us)
    for epoch in range(last):
        for batch in batches(rows, plan.batch, rng):
            taken_of_batch = taken_rows(taken, interactions.learner[batch])
            adam.step(_loss(network, interactions, batch, taken_of_batch, settings, decays, rng))
        _check_finite(network, settings, epoch)
        progress((epoch + 1) / last)
        if validation is not None and validation.stops(network, decays):
            break
    return NeuMF(decays=decays, **(validation.best if validation is not None else network.arrays()))


def _check_finite(network: HistoryNeuMF, settings: TrainerSettings, epoch: int) -> None:
    if not all(bool(torch.isfinite(values).all()) for values in network.parameters()):
        raise ConfigurationError(
            f"the training ended in numbers that are none in epoch {epoch + 1}: "
            f"lower TRAIN_LEARNING_RATE, which is {settings.train_learning_rate:g}"
        )


def _loss(
    network: HistoryNeuMF,
    interactions: Interactions,
    batch: NDArray[np.int64],
    taken: NDArray[np.bool_],
    settings: TrainerSettings,
    decays: Floats,
    rng: np.random.Generator,
) -> torch.Tensor:
    """Return the loss of the full logit plus sampled softmax of the GMF logit, of one batch."""
    positive = interactions.course[batch][:, None]  # (B, 1)
    negatives = draw_negatives(taken, settings.train_negatives, rng)  # (B, N)
    towers = network.towers(padded(histories_of(interactions, batch), decays))
    logits = network.logits(towers, torch.from_numpy(np.concatenate([positive, negatives], axis=1)))
    focused = settings.train_loss == "focal"
    full = focal(logits, settings.train_focal_gamma) if focused else binary_cross_entropy(logits)
    rivals = draw_rivals(taken.shape[1], settings.train_softmax_negatives, rng)  # (S,)
    return full + _softmax(network, towers, positive[:, 0], rivals, taken)


def _softmax(
    network: HistoryNeuMF,
    towers: Towers,
    positive: NDArray[np.int64],
    rivals: NDArray[np.int64],
    taken: NDArray[np.bool_],
) -> torch.Tensor:
    """Return the loss of the GMF logit: that of the course taken among all others, or among these rivals."""
    if len(rivals) == taken.shape[1]:
        forbidden = taken.copy()
        forbidden[np.arange(len(positive)), positive] = False
        return softmax_among(network.gmf_logits(towers), torch.from_numpy(forbidden), torch.from_numpy(positive))
    courses = torch.from_numpy(positive)
    own = (towers.gmf * network.gmf_out * network.gmf_course[courses]).sum(1, keepdim=True) + network.bias[
        courses, None
    ]
    forbidden = np.pad(taken[:, rivals], ((0, 0), (1, 0)))
    logits = torch.cat([own, network.gmf_logits(towers, torch.from_numpy(rivals))], dim=1)  # (B, 1 + S)
    return softmax_among(logits, torch.from_numpy(forbidden), torch.zeros_like(courses))
