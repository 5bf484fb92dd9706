"""The training loop: large batches, Adam, a learning rate that falls in a line; equal seeds, equal arrays."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from recommender.model import NeuMF
from schemas.errors import ConfigurationError
from trainer.adam import Adam
from trainer.device import device_of, make_deterministic, mixed_precision
from trainer.examples import Examples, Source, ahead
from trainer.interactions import Interactions
from trainer.losses import binary_cross_entropy, focal, softmax_among
from trainer.network import HistoryNeuMF, Towers
from trainer.processes import averaging, number, rank, share, told
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


@dataclass(frozen=True)
class Fit:
    """What is trained: all that the processes of one training have to agree on."""

    interactions: Interactions
    settings: TrainerSettings
    seed: int
    until_us: int | None
    epochs: int | None


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
    epoch is returned. What comes out depends on the seed and the number of processes. Raises ConfigurationError if it
    diverges.
    """
    fit = told(Fit(interactions, settings, seed, until_us, epochs))
    return _fit(fit, progress, validation)


def follow(progress: Callable[[float], None]) -> None:
    """Make each fit that the first process makes, until it makes no more (`told(None)`)."""
    while (fit := told()) is not None:
        _fit(fit, progress, None)


def _fit(fit: Fit, progress: Callable[[float], None], validation: Validation | None) -> NeuMF:
    """Return the network, trained by this process and those beside it; only the first of them validates."""
    interactions, settings, until_us = fit.interactions, fit.settings, fit.until_us
    make_deterministic(fit.seed + rank(), settings.train_threads)
    device = device_of(settings.train_device)
    rows = newest(interactions, trainable(interactions, until_us), settings.train_max_targets)
    decays = np.array(settings.train_decays, dtype=np.float32)
    network = HistoryNeuMF(len(interactions.course_ids), settings.train_dimensions, len(decays), settings.train_dropout)
    objective = averaging(Objective(network.to(device), settings))
    plan, last = Plan.of(len(rows), settings), fit.epochs or settings.train_epochs
    rate = settings.train_learning_rate
    adam = Adam(network.parameters(), rate, LAST_RATE * rate, plan.steps, settings.train_weight_decay)
    rng = np.random.default_rng(fit.seed + rank())
    source, own = Source(interactions, interactions.taken_before(until_us), settings, rng), share(rows)
    for epoch in range(last):
        for examples in ahead(source.epoch(own, -(-plan.batch // number()))):
            adam.step(objective(examples.to(device)))
        _check_finite(network, settings, epoch)
        progress((epoch + 1) / last)
        if told(validation is not None and validation.stops(network, decays)):
            break
    return NeuMF(decays=decays, **(validation.best if validation is not None else network.arrays()))


def _check_finite(network: HistoryNeuMF, settings: TrainerSettings, epoch: int) -> None:
    if not all(bool(torch.isfinite(values).all()) for values in network.parameters()):
        raise ConfigurationError(
            f"the training ended in numbers that are none in epoch {epoch + 1}: "
            f"lower TRAIN_LEARNING_RATE, which is {settings.train_learning_rate:g}"
        )


class Objective(nn.Module):
    """The loss as a module over the network."""

    def __init__(self, network: HistoryNeuMF, settings: TrainerSettings) -> None:
        super().__init__()
        self.network = network
        self._settings = settings

    def forward(self, examples: Examples) -> torch.Tensor:
        """Return the loss of a batch."""
        return loss_of(self.network, examples, self._settings)


def loss_of(network: HistoryNeuMF, examples: Examples, settings: TrainerSettings) -> torch.Tensor:
    """Return the loss of the full logit plus that of the GMF logit, of one batch."""
    towers = network.towers(examples.histories)
    logits = network.logits(towers, examples.pairs)
    focused = settings.train_loss == "focal"
    full = focal(logits, settings.train_focal_gamma) if focused else binary_cross_entropy(logits)
    return full + _softmax(network, towers, examples)


def _softmax(network: HistoryNeuMF, towers: Towers, examples: Examples) -> torch.Tensor:
    """Return the loss of the GMF logit: that of the course taken among all others, or among the rivals."""
    taken = examples.pairs[:, 0]
    with mixed_precision(taken.device):  # by far the largest product
        logits = network.gmf_logits(towers, examples.rivals)
    if examples.rivals is None:
        return softmax_among(logits, examples.forbidden, taken)
    own = network.gmf_logits_of(towers, taken[:, None])
    return softmax_among(torch.cat([own, logits], dim=1), examples.forbidden, torch.zeros_like(taken))
