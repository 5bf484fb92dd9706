"""The network of `recommender.grades` for training: courses that nobody was graded in are what their text says.

A course's vectors are its own part plus a linear function of its text's features. In each step a share of the courses
goes without its own part, so that the text learns to stand in for it.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recommender.grades import GradesNet
from recommender.model import LAYERS, Floats

_VECTORS = ("history", "gmf_course", "mlp_course")


class SheetBatch(NamedTuple):
    """What stood before B grades, for K decay rates: 2K bags a learner, pool-major, of weighted courses."""

    courses: Tensor  # (2K * E,) int64
    weights: Tensor  # (2K * E,) float32
    starts: Tensor  # (2K * B,) int64

    def to(self, device: torch.device) -> "SheetBatch":
        """Return the same on a device."""
        return SheetBatch(*(one.to(device) for one in self))


class Expected(NamedTuple):
    """What courses' grades are expected to be, (n,) each."""

    prior: Floats
    """By the text alone."""
    mean: Floats
    """By the grades there were, few of them drawn towards the prior."""
    counts: NDArray[np.int64]
    """Grades there were."""


def _normal(*shape: int, scale: float) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape) * scale)


class GradesNetwork(nn.Module):
    """The network; it begins as the bias model: course mean plus the learner's mean residual."""

    def __init__(self, expected: Expected, features: Floats, dimensions: int, num_decays: int) -> None:
        super().__init__()
        (n, f), d, k = features.shape, dimensions, num_decays
        self.features = nn.Buffer(torch.from_numpy(features))  # (n, f)
        self.is_known = nn.Buffer(torch.from_numpy(expected.counts > 0).unsqueeze(1))  # (n, 1)
        self.own = nn.ParameterDict({name: _normal(n, d, scale=0.05) for name in _VECTORS})
        self.text = nn.ParameterDict({name: _normal(f, d, scale=0.05) for name in _VECTORS})
        self.offset = nn.Parameter(torch.zeros(d))  # added to every history vector: the first dimension is the level
        self.prior = nn.Parameter(torch.from_numpy(expected.prior.copy()))  # (n,)
        self.own_bias = nn.Parameter(torch.from_numpy(expected.mean - expected.prior))  # (n,)
        self.gmf_tower = nn.Parameter(torch.eye(d).repeat(2 * k, 1) / k)  # (2K * d, d)
        self.mlp_tower = nn.Parameter(torch.eye(d).repeat(2 * k, 1) / k)
        self.gmf_empty = nn.Parameter(torch.zeros(d))
        self.mlp_empty = nn.Parameter(torch.zeros(d))
        self.gmf_level = nn.Parameter(torch.zeros(d))  # added to every course's GMF vector
        one, two, three = LAYERS
        self.w1_learner = _normal(d, one, scale=d**-0.5)
        self.w1_course = _normal(d, one, scale=d**-0.5)
        self.w2 = _normal(one, two, scale=(2 / one) ** 0.5)
        self.w3 = _normal(two, three, scale=(2 / two) ** 0.5)
        self.b1, self.b2, self.b3 = (nn.Parameter(torch.zeros(width)) for width in LAYERS)
        self.mlp_out = nn.Parameter(torch.zeros(three))
        with torch.no_grad():
            self.offset[0] = 1.0
            self.gmf_level[0] = 1.0
            self.gmf_tower[k * d :] = 0.0

    def size(self) -> Tensor:
        """Return the squared length of the courses' vectors, own part and text's, which is kept small."""
        return torch.stack([one.square().sum() for one in (*self.own.values(), *self.text.values())]).sum()

    def course_arrays(self, own: Tensor) -> dict[str, Tensor]:
        """Return the courses' vectors and bias; `own`, (n, 1): whether a course has its own part, else text alone."""
        vectors = {name: self.own[name] * own + self.features @ self.text[name] for name in _VECTORS}
        vectors["history"] = vectors["history"] + self.offset
        vectors["gmf_course"] = vectors["gmf_course"] + self.gmf_level
        return {**vectors, "bias": self.prior + self.own_bias * own.squeeze(1)}

    def forward(self, batch: SheetBatch, courses: Tensor, own: Tensor) -> Tensor:
        """Return the predicted grade of learner b in `courses[b]`, (B,)."""
        arrays = self.course_arrays(own)
        pooled = nn.functional.embedding_bag(
            batch.courses, arrays["history"], batch.starts, mode="sum", per_sample_weights=batch.weights
        )  # (2K * B, d)
        pooled = pooled.view(-1, len(courses), pooled.shape[1]).transpose(0, 1).flatten(1)  # (B, 2K * d)
        gmf = pooled @ self.gmf_tower + self.gmf_empty  # (B, d)
        mlp = pooled @ self.mlp_tower + self.mlp_empty
        hidden = torch.relu(mlp @ self.w1_learner + arrays["mlp_course"][courses] @ self.w1_course + self.b1)
        hidden = torch.relu(hidden @ self.w2 + self.b2)
        hidden = torch.relu(hidden @ self.w3 + self.b3)
        products = (gmf * arrays["gmf_course"][courses]).sum(1)
        return arrays["bias"][courses] + products + hidden @ self.mlp_out

    def arrays(self, decays: Floats, shrinkage: float, mean: Floats) -> GradesNet:
        """Return the arrays that serve."""
        course = self.course_arrays(self.is_known.float())
        alone = {name: value for name, value in self.named_parameters() if name in GradesNet.__dataclass_fields__}
        found = {name: value.detach().cpu().numpy().copy() for name, value in {**alone, **course}.items()}
        return GradesNet(decays=decays, shrinkage=np.array([shrinkage], np.float32), mean=mean, **found)
