"""What the steps of a training learn from, made in NumPy: histories, negatives and rivals, batch by batch."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from trainer.histories import histories_of, padded
from trainer.interactions import Interactions
from trainer.network import HistoryBatch
from trainer.sampling import Taken, draw_negatives, draw_rivals
from trainer.settings import TrainerSettings

T = TypeVar("T")


class Examples(NamedTuple):
    """B enrolments: what stood before each, and which courses it is told from."""

    histories: HistoryBatch
    pairs: Tensor  # (B, 1 + N) int64: column 0 was taken, the rest are not
    rivals: Tensor | None  # (S,) int64, of the softmax over the GMF logit; None: all n courses
    forbidden: Tensor  # (F,) int64, cells of (B, n) or (B, 1 + S) logits that are no rivals

    def to(self, device: torch.device) -> "Examples":
        """Return the same on a device."""
        rivals = None if self.rivals is None else self.rivals.to(device)
        return Examples(self.histories.to(device), self.pairs.to(device), rivals, self.forbidden.to(device))


def batches(rows: NDArray[np.int64], size: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of an epoch's steps: every enrolment once, in a new order."""
    shuffled = rng.permutation(rows)
    for start in range(0, len(rows), size):
        yield shuffled[start : start + size]


@dataclass(frozen=True)
class Source:
    """Makes the examples of one training: on these interactions, by what learners have taken, (learners, n)."""

    interactions: Interactions
    taken: csr_array
    settings: TrainerSettings
    rng: np.random.Generator

    def epoch(self, rows: NDArray[np.int64], size: int) -> Iterator[Examples]:
        """Yield the examples of an epoch's steps."""
        for batch in batches(rows, size, self.rng):
            yield self.examples(batch)

    def examples(self, batch: NDArray[np.int64]) -> Examples:
        """Return the examples that the enrolments of these rows make."""
        interactions, settings = self.interactions, self.settings
        taken = Taken.of(self.taken, interactions.learner[batch])
        positive = interactions.course[batch]  # (B,)
        negatives = draw_negatives(taken, settings.train_negatives, self.rng)  # (B, N)
        rivals = draw_rivals(taken.num_courses, settings.train_softmax_negatives, self.rng)  # (S,)
        is_all = len(rivals) == taken.num_courses
        forbidden = taken.but(positive).cells if is_all else _one_later(taken.among(rivals))
        return Examples(
            padded(histories_of(interactions, batch), np.array(settings.train_decays, dtype=np.float32)),
            torch.from_numpy(np.concatenate([positive[:, None], negatives], axis=1)),
            None if is_all else torch.from_numpy(rivals),
            torch.from_numpy(forbidden),
        )


def ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield the same items, each made by another thread while the one before is in use."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item


def _one_later(taken: Taken) -> NDArray[np.int64]:
    """Return the cells of a table that has one column more, before the others."""
    return taken.cells + taken.cells // taken.num_courses + 1
