"""The reference for the speed of training: NeuMF by Dataset and DataLoader, pair by pair, as tutorials have it."""

import random
import time
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from trainer.network import MLP_WIDTHS

BATCH = 256


class Pairs(Dataset[tuple[int, int, float]]):
    """Every positive pair and, after it, so many negatives of its learner, drawn when they are asked for."""

    def __init__(self, positives: Sequence[tuple[int, int]], num_courses: int, negatives: int, seed: int) -> None:
        self._positives, self._num_courses, self._each = positives, num_courses, 1 + negatives
        self._taken = set(positives)
        self._random = random.Random(seed)

    def __len__(self) -> int:
        return len(self._positives) * self._each

    def __getitem__(self, place: int) -> tuple[int, int, float]:
        learner, course = self._positives[place // self._each]
        if place % self._each == 0:
            return learner, course, 1.0
        while (learner, course) in self._taken:
            course = self._random.randrange(self._num_courses)
        return learner, course, 0.0


class PlainNeuMF(nn.Module):
    """The network over m learners and n courses, written down as the paper draws it."""

    def __init__(self, num_learners: int, num_courses: int, dimensions: int) -> None:
        super().__init__()
        self._gmf_learner, self._mlp_learner = (nn.Embedding(num_learners, dimensions) for _ in range(2))
        self._gmf_course, self._mlp_course = (nn.Embedding(num_courses, dimensions) for _ in range(2))
        layers = [nn.Linear(*pair) for pair in pairwise((2 * dimensions, *MLP_WIDTHS))]
        self._mlp = nn.Sequential(*(one for layer in layers for one in (layer, nn.ReLU())))
        self._out = nn.Linear(dimensions + MLP_WIDTHS[-1], 1)

    def forward(self, learners: Tensor, courses: Tensor) -> Tensor:
        """Return the logit of each pair, (B,)."""
        gmf = self._gmf_learner(learners) * self._gmf_course(courses)  # (B, d)
        deep = self._mlp(torch.cat([self._mlp_learner(learners), self._mlp_course(courses)], dim=1))  # (B, 32)
        logits: Tensor = self._out(torch.cat([gmf, deep], dim=1))[:, 0]
        return logits


class PlainTraining:
    """A training of the network over m learners and n courses that goes on for as long as it is asked to."""

    def __init__(
        self, positives: Sequence[tuple[int, int]], shape: tuple[int, int, int], negatives: int, rate: float, seed: int
    ) -> None:
        torch.manual_seed(seed)
        self.network = PlainNeuMF(*shape)
        self._adam = torch.optim.Adam(self.network.parameters(), lr=rate)
        self._loss = torch.nn.BCEWithLogitsLoss()
        self._loader = DataLoader(Pairs(positives, shape[1], negatives, seed), batch_size=BATCH, shuffle=True)
        self._batches = iter(self._loader)

    def _batch(self) -> list[Tensor]:
        try:
            batch: list[Tensor] = next(self._batches)
        except StopIteration:
            self._batches = iter(self._loader)
            batch = next(self._batches)
        return batch

    def run(self, seconds: float) -> tuple[int, float]:
        """Train; return how many pairs were learnt from, and how many seconds it took."""
        pairs, began = 0, time.perf_counter()
        while (taken := time.perf_counter() - began) < seconds:
            learners, courses, labels = self._batch()
            self._adam.zero_grad()
            self._loss(self.network(learners, courses), labels.float()).backward()
            self._adam.step()
            pairs += len(labels)
        return pairs, taken
