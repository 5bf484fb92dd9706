"""Histories of a batch of enrolments as the network takes them: a table of courses and weights."""

import numpy as np
import torch
from numpy.typing import NDArray

from recommender.model import Floats
from recommender.tower import NEWEST, Histories, shares
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


def padded(histories: Histories, decays: Floats) -> HistoryBatch:
    """Return what the tower reads of B histories as a table, each entry weighted by its share at each decay."""
    recent = histories.keep(histories.ages < NEWEST)
    size, longest = len(recent), int(recent.ages.max(initial=-1)) + 1
    courses = np.zeros((size, longest), dtype=np.int64)
    weights = np.zeros((size, len(decays), longest), dtype=np.float32)
    courses[recent.owners, recent.ages] = recent.courses
    weights[recent.owners, :, recent.ages] = shares(decays, recent)
    return HistoryBatch(torch.from_numpy(courses), torch.from_numpy(weights))
