"""Losses over logits: pure functions."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional


def binary_cross_entropy(logits: Tensor) -> Tensor:
    """Return the mean binary cross-entropy of (B, 1 + N) logits: column 0 is the course taken, the rest are not."""
    taken = functional.softplus(-logits[:, 0])
    others = functional.softplus(logits[:, 1:])
    return (taken.sum() + others.sum()) / logits.numel()


class _SoftmaxAmong(Function):
    """Loss and slope by one softmax: as separate operations they go over the (B, S) numbers three times as often."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, forbidden: Tensor, taken: Tensor) -> Tensor:
        logits.view(-1).index_fill_(0, forbidden, float("-inf"))
        shares = torch.softmax(logits, dim=1)
        ctx.save_for_backward(shares, taken)
        return -shares.gather(1, taken.unsqueeze(1)).float().log().mean()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        shares, taken = ctx.saved_tensors
        each = (slope / len(shares)).to(shares.dtype)
        slopes = shares.mul_(each)
        slopes.scatter_add_(1, taken.unsqueeze(1), (-each).expand(len(shares), 1))
        return slopes, None, None


def softmax_among(logits: Tensor, forbidden: Tensor, taken: Tensor) -> Tensor:
    """Return the mean -log softmax of the course taken, column `taken`, (B,), among the S courses of (B, S) logits.

    `forbidden`: cells, `row * S + column`, of what learners do not choose among, never the course taken. The logits
    are overwritten, and the slope can be asked for once.
    """
    loss: Tensor = _SoftmaxAmong.apply(logits, forbidden, taken)
    return loss


def focal(logits: Tensor, gamma: float) -> Tensor:
    """Return the mean focal loss of (B, 1 + N) logits, after Lin et al., ICCV 2017; with gamma 0 it is cross-entropy.

    What is answered right with probability p weighs (1 - p) ** gamma.
    """
    right = torch.cat([logits[:, :1], -logits[:, 1:]], dim=1)
    return (torch.exp(-gamma * functional.softplus(right)) * functional.softplus(-right)).mean()
