"""Histories of a batch of enrolments as the network takes them: weighted bags of courses, one a decay."""

import numpy as np
import torch
from numpy.typing import NDArray

from recommender.model import Floats
from recommender.tower import Histories, shares
from trainer.interactions import Interactions
from trainer.network import HistoryBatch


def histories_of(interactions: Interactions, rows: NDArray[np.int64]) -> Histories:
    """Return what stood before the enrolments of these rows, in their order."""
    first = interactions.history_starts[rows]
    lengths = interactions.history_starts[rows + 1] - first
    starts = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    positions = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
    entries = positions + np.repeat(first, lengths)
    return Histories(
        starts,
        interactions.history_courses[entries],
        interactions.history_weights[entries],
        positions.astype(np.int32),
    )


def bags(histories: Histories, decays: Floats) -> HistoryBatch:
    """Return the entries of B histories as K * B bags, each weighted by its share at the bag's decay."""
    size, rates = len(histories.courses), len(decays)
    courses = np.tile(histories.courses.astype(np.int64), rates)  # (K * E,)
    weights = shares(decays, histories).T.reshape(-1)  # (K * E,)
    starts = np.concatenate([histories.starts[:-1] + k * size for k in range(rates)])  # (K * B,)
    return HistoryBatch(torch.from_numpy(courses), torch.from_numpy(weights), torch.from_numpy(starts))
