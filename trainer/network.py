"""NeuMF with a history tower: GMF and MLP over a learner who is the pooled embeddings of his own history.

For a learner with pooled history vectors m_k (one for each decay) and a course with vectors q_g, q_m:

    y   = sum_k m_k Wg_k + p0_g        p_m = sum_k m_k Wm_k + p0_m
    p_g = y + relu(norm(y) A + a) B
    logit = gmf_out . (p_g * q_g) + mlp_out . MLP([p_m; q_m]) + bias

after He et al., Neural Collaborative Filtering, WWW 2017; the tower takes the place of its table of learners.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from recommender.model import WIDER

MLP_WIDTHS = (128, 64, 32)


class HistoryBatch(NamedTuple):
    """Histories of B learners: their newest L entries, newest first, and what each weighs at K decays."""

    courses: Tensor  # (B, L) int64; 0 where there is none
    weights: Tensor  # (B, K, L) float32; 0 where there is none

    def to(self, device: torch.device) -> "HistoryBatch":
        """Return the same on a device."""
        return HistoryBatch(self.courses.to(device), self.weights.to(device))


class Towers(NamedTuple):
    """Vectors of B learners."""

    gmf: Tensor  # (B, d)
    mlp: Tensor  # (B, d)


def _normal(*shape: int, scale: float = 0.1) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape) * scale)


def _layer(width_in: int, width_out: int, fan_in: int | None = None) -> nn.Parameter:
    return _normal(width_in, width_out, scale=(2.0 / (fan_in or width_in)) ** 0.5)


class HistoryNeuMF(nn.Module):
    """The network; its parameters bear the names of the bundle's arrays."""

    def __init__(self, num_courses: int, dimensions: int, num_decays: int, dropout: float = 0.0) -> None:
        super().__init__()
        n, d, k = num_courses, dimensions, num_decays
        self._dropout = dropout
        self.history = _normal(n, d)
        self.gmf_course = _normal(n, d)
        self.mlp_course = _normal(n, d)
        self.bias = nn.Parameter(torch.zeros(n))
        self.gmf_tower = nn.Parameter((torch.eye(d).repeat(k, 1, 1) + torch.randn(k, d, d) * 0.02) / k)
        self.gmf_in = _layer(d, WIDER * d)
        self.gmf_in_bias = nn.Parameter(torch.zeros(WIDER * d))
        self.gmf_back = _normal(WIDER * d, d, scale=0.02)
        self.mlp_tower = nn.Parameter((torch.eye(d).repeat(k, 1, 1) + torch.randn(k, d, d) * 0.02) / k)
        self.gmf_empty = _normal(d, scale=0.01)
        self.mlp_empty = _normal(d, scale=0.01)
        self.gmf_out = nn.Parameter(torch.ones(d))
        self.w1_learner = _layer(d, MLP_WIDTHS[0], 2 * d)
        self.w1_course = _layer(d, MLP_WIDTHS[0], 2 * d)
        self.w2 = _layer(MLP_WIDTHS[0], MLP_WIDTHS[1])
        self.w3 = _layer(MLP_WIDTHS[1], MLP_WIDTHS[2])
        self.b1, self.b2, self.b3 = (nn.Parameter(torch.zeros(width)) for width in MLP_WIDTHS)
        self.mlp_out = _normal(MLP_WIDTHS[2])

    def _dropped(self, values: Tensor) -> Tensor:
        return nn.functional.dropout(values, self._dropout, self.training) if self._dropout else values

    def pooled(self, batch: HistoryBatch) -> Tensor:
        """Return the pooled histories, (B, K, d); 0 for an empty one."""
        entries = nn.functional.embedding(batch.courses, self._dropped(self.history))  # (B, L, d)
        return torch.bmm(batch.weights, entries)

    def towers(self, batch: HistoryBatch) -> Towers:
        """Return the learners' vectors, GMF and MLP."""
        pooled = self.pooled(batch).flatten(1)  # (B, K * d)
        flat = pooled @ self.gmf_tower.flatten(0, 1) + self.gmf_empty  # (B, d)
        hidden = nn.functional.layer_norm(flat, flat.shape[1:]) @ self.gmf_in + self.gmf_in_bias
        gmf = flat + self._dropped(torch.relu(hidden) @ self.gmf_back)
        mlp = pooled @ self.mlp_tower.flatten(0, 1) + self.mlp_empty  # (B, d)
        return Towers(gmf, mlp)

    def gmf_logits(self, towers: Towers, courses: Tensor | None = None) -> Tensor:
        """Return the GMF logits of every learner with each of S courses (None: all), (B, S): those of the index."""
        vectors, bias = (self.gmf_course, self.bias) if courses is None else self._of(courses)
        return torch.addmm(bias, towers.gmf * self.gmf_out, vectors.T)

    def gmf_logits_of(self, towers: Towers, courses: Tensor) -> Tensor:
        """Return the GMF logits of learner b with courses[b, p], (B, P)."""
        query = (towers.gmf * self.gmf_out).unsqueeze(2)  # (B, d, 1)
        return torch.bmm(self.gmf_course[courses], query).squeeze(2) + self.bias[courses]

    def _of(self, courses: Tensor) -> tuple[Tensor, Tensor]:
        return self.gmf_course[courses], self.bias[courses]

    def logits(self, towers: Towers, courses: Tensor) -> Tensor:
        """Return the full logits of learner b with courses[b, p], (B, P).

        The first layer is split: the learner's half once a learner, the course's half once a course.
        """
        learner_half = towers.mlp @ self.w1_learner + self.b1  # (B, 128)
        course_half = (self.mlp_course @ self.w1_course)[courses]  # (B, P, 128)
        hidden = course_half.add_(learner_half.unsqueeze(1)).relu_()
        hidden = (hidden @ self.w2 + self.b2).relu_()  # (B, P, 64)
        hidden = (hidden @ self.w3 + self.b3).relu_()  # (B, P, 32)
        return self.gmf_logits_of(towers, courses) + hidden @ self.mlp_out  # (B, P)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the parameters as float32 arrays under the bundle's names."""
        return {name: value.detach().cpu().numpy().copy() for name, value in self.named_parameters()}
