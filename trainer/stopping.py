"""Early stopping: after each epoch the network is tried on the enrolments that came next."""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from trainer.histories import histories_of, padded
from trainer.interactions import Interactions
from trainer.network import HistoryNeuMF
from trainer.sampling import Taken, draw_negatives
from trainer.settings import TrainerSettings
from trainer.split import Split, evenly

CASES = 1_000
RIVALS = 100
"""Courses not taken that the course taken is ranked among, drawn as often as they are taken: among others popularity
alone does well, and a training would end before it has learnt more."""

_TOP = 10
_CHUNK = 250


@dataclass
class Validation:
    """NDCG@10 of C cases among `RIVALS` fixed courses, by epoch; remembers the best epoch and its arrays."""

    interactions: Interactions
    rows: NDArray[np.int64]  # (C,)
    pairs: NDArray[np.int64]  # (C, 1 + RIVALS), column 0 was taken
    patience: int
    scores: list[float] = field(default_factory=list)
    best: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    @classmethod
    def of(cls, interactions: Interactions, split: Split, settings: TrainerSettings, seed: int) -> "Validation | None":
        """Return a validation on the enrolments between training and test; None if there are none, or it is off."""
        taken = interactions.taken_before(split.test_us)
        has_rivals = np.asarray(taken.sum(axis=1)).ravel()[interactions.learner] < len(interactions.course_ids)
        moments = interactions.occurred_us
        between = np.flatnonzero((moments >= split.validation_us) & (moments < split.test_us) & has_rivals)
        rows = evenly(between[np.argsort(moments[between], kind="stable")], CASES)
        if not len(rows) or not settings.train_patience:
            return None
        rng = np.random.default_rng((seed, RIVALS))
        own = Taken.of(taken, interactions.learner[rows])
        others = draw_negatives(own, RIVALS, rng)
        counts = np.asarray(taken.sum(axis=0), dtype=np.float64).ravel() + 1.0
        popular = rng.choice(len(counts), size=others.shape, p=counts / counts.sum())
        rivals = np.where(own.holds(popular), others, popular)
        pairs = np.concatenate([interactions.course[rows][:, None], rivals], axis=1)
        return cls(interactions, rows, pairs, settings.train_patience)

    @property
    def epochs(self) -> int:
        """The best number of epochs so far."""
        return int(np.argmax(self.scores)) + 1

    def stops(self, network: HistoryNeuMF, decays: NDArray[np.float32]) -> bool:
        """Take in the network after one more epoch; return whether it has not become better for too long."""
        self.scores.append(self._ndcg(network, decays))
        if self.epochs == len(self.scores):
            self.best = network.arrays()
        return len(self.scores) - self.epochs >= self.patience

    @torch.no_grad()
    def _ndcg(self, network: HistoryNeuMF, decays: NDArray[np.float32]) -> float:
        gains = 0.0
        network.eval()
        device = network.bias.device
        for start in range(0, len(self.rows), _CHUNK):
            part = slice(start, start + _CHUNK)
            histories = padded(histories_of(self.interactions, self.rows[part]), decays).to(device)
            pairs = torch.from_numpy(self.pairs[part]).to(device)
            logits = network.logits(network.towers(histories), pairs).cpu().numpy()  # (B, 1 + RIVALS)
            ranks = 1 + (logits[:, 1:] >= logits[:, :1]).sum(axis=1)
            gains += float(np.where(ranks <= _TOP, 1.0 / np.log2(1.0 + ranks), 0.0).sum())
        network.train()
        return gains / len(self.rows)
