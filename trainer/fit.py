"""The training loop: large batches, fused Adam, a learning rate that falls in a line; equal seeds, equal arrays."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from recommender.model import NeuMF
from trainer.histories import bags, histories_of
from trainer.interactions import Interactions
from trainer.losses import binary_cross_entropy, sampled_softmax
from trainer.network import HistoryNeuMF
from trainer.sampling import draw_negatives, draw_rivals, taken_rows
from trainer.settings import TrainerSettings

DECAYS = np.array([0.0, 0.8, 1.0], dtype=np.float32)
"""Decay rates of the pooled history per later course, as measured for course data."""

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


def batches(rows: NDArray[np.int64], plan: Plan, epochs: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of each step: every enrolment once an epoch, in a new order."""
    for _ in range(epochs):
        shuffled = rng.permutation(rows)
        for start in range(0, len(rows), plan.batch):
            yield shuffled[start : start + plan.batch]


def fit_neumf(
    interactions: Interactions,
    settings: TrainerSettings,
    seed: int,
    progress: Callable[[float], None],
    until_us: int | None = None,
) -> NeuMF:
    """Return the network trained on the enrolments before `until_us` (None: all).

    A course that a learner takes later counts as not taken: nothing of the future is used.
    """
    make_deterministic(seed, settings.train_threads)
    rng = np.random.default_rng(seed)
    rows = newest(interactions, trainable(interactions, until_us), settings.train_max_targets)
    network = HistoryNeuMF(len(interactions.course_ids), settings.train_dimensions, len(DECAYS))
    plan = Plan.of(len(rows), settings)
    adam = torch.optim.Adam(network.parameters(), lr=settings.train_learning_rate, fused=True)
    falling = torch.optim.lr_scheduler.LinearLR(adam, 1.0, LAST_RATE, total_iters=plan.steps)
    taken = interactions.taken_before(until_us)
    for step, batch in enumerate(batches(rows, plan, settings.train_epochs, rng)):
        adam.zero_grad()
        loss = _loss(network, interactions, batch, taken_rows(taken, interactions.learner[batch]), settings, rng)
        torch.autograd.backward(loss)
        adam.step()
        falling.step()
        progress((step + 1) / plan.steps)
    return NeuMF(decays=DECAYS.copy(), **network.arrays())


def _loss(
    network: HistoryNeuMF,
    interactions: Interactions,
    batch: NDArray[np.int64],
    taken: NDArray[np.bool_],
    settings: TrainerSettings,
    rng: np.random.Generator,
) -> torch.Tensor:
    """Return cross-entropy of the full logit plus sampled softmax of the GMF logit, of one batch."""
    positive = interactions.course[batch][:, None]  # (B, 1)
    negatives = draw_negatives(taken, settings.train_negatives, rng)  # (B, N)
    rivals = draw_rivals(taken.shape[1], settings.train_softmax_negatives, rng)  # (S,)
    towers = network.towers(bags(histories_of(interactions, batch), DECAYS))
    pairs = torch.from_numpy(np.concatenate([positive, negatives], axis=1))  # (B, 1 + N)
    gmf_positive = (towers.gmf * network.gmf_out * network.gmf_course[pairs[:, 0]]).sum(1) + network.bias[pairs[:, 0]]
    gmf_rivals = network.gmf_logits(towers, torch.from_numpy(rivals))  # (B, S)
    forbidden = torch.from_numpy(taken[:, rivals])
    return binary_cross_entropy(network.logits(towers, pairs)) + sampled_softmax(gmf_positive, gmf_rivals, forbidden)
