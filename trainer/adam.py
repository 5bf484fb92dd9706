"""Adam with a learning rate that falls in a line, after Kingma and Ba, ICLR 2015.

It calls the fused kernel of torch.optim by its functional form: the class `torch.optim.Adam` imports the whole compiler
of torch when it is made, which takes several seconds of each training.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.adam import adam

_BETAS = (0.9, 0.999)
_EPSILON = 1e-8


class Adam:
    """The state of one training: step t of `steps` goes with a rate between `first` and `last`.

    `weight_decay`: that of half the squared length of the parameters, which is added to every loss.
    """

    def __init__(
        self, parameters: Iterable[Tensor], first: float, last: float, steps: int, weight_decay: float = 0.0
    ) -> None:
        self._parameters = list(parameters)
        self._means = [torch.zeros_like(one) for one in self._parameters]
        self._squares = [torch.zeros_like(one) for one in self._parameters]
        self._counts = [torch.zeros((), dtype=torch.float32, device=one.device) for one in self._parameters]
        self._first, self._last, self._steps, self._weight_decay = first, last, steps, weight_decay
        self._done = 0

    def step(self, loss: Tensor) -> None:
        """Move the parameters against the slope of the loss."""
        for one in self._parameters:
            one.grad = None
        torch.autograd.backward(loss)
        slopes = [torch.zeros_like(one) if one.grad is None else one.grad for one in self._parameters]
        rate = self._first + (self._last - self._first) * min(self._done / self._steps, 1.0)
        with torch.no_grad():
            adam(
                self._parameters, slopes, self._means, self._squares, [], self._counts, fused=True, amsgrad=False,
                beta1=_BETAS[0], beta2=_BETAS[1], lr=rate, weight_decay=self._weight_decay, eps=_EPSILON,
                maximize=False,
            )  # fmt: skip
        self._done += 1
