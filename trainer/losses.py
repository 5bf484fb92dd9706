"""Losses over logits: pure functions."""

import torch
from torch import Tensor
from torch.nn import functional


def binary_cross_entropy(logits: Tensor) -> Tensor:
    """Return the mean binary cross-entropy of (B, 1 + N) logits: column 0 is the course taken, the rest are not."""
    taken = functional.softplus(-logits[:, 0])
    others = functional.softplus(logits[:, 1:])
    return (taken.sum() + others.sum()) / logits.numel()


def softmax_among(logits: Tensor, forbidden: Tensor, taken: Tensor) -> Tensor:
    """Return the mean -log softmax of the course taken, column `taken`, (B,), among the S courses of (B, S) logits.

    `forbidden`: cells, `row * S + column`, of what learners do not choose among. The logits are overwritten.
    """
    logits.view(-1).index_fill_(0, forbidden, float("-inf"))
    return functional.cross_entropy(logits, taken).float()


def focal(logits: Tensor, gamma: float) -> Tensor:
    """Return the mean focal loss of (B, 1 + N) logits, after Lin et al., ICCV 2017; with gamma 0 it is cross-entropy.

    What is answered right with probability p weighs (1 - p) ** gamma.
    """
    right = torch.cat([logits[:, :1], -logits[:, 1:]], dim=1)
    return (torch.exp(-gamma * functional.softplus(right)) * functional.softplus(-right)).mean()
