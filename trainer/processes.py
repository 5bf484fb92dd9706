"""Several processes that train one network: `torchrun` starts them, each learns from its part of every batch.

The first leads: it alone reads the log, fits the other parts, tests and publishes. The others make each fit of the
network that it makes, on what it hands them: so nobody's log ends later than another's.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import nn
from torch.nn.parallel import DistributedDataParallel

_PATIENCE: Final = timedelta(days=1)
"""How long the others wait while the first does what it does alone. If it ends, they learn that at once."""


def number() -> int:
    """Return how many processes train together.

    >>> number()
    1
    """
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return this process's place among them; the first, 0, leads."""
    return dist.get_rank() if dist.is_initialized() else 0


@contextmanager
def together() -> Iterator[None]:
    """Join the processes that torchrun has started, if it started this one: by NCCL on CUDA, by gloo elsewhere."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    has_cuda = torch.cuda.is_available()
    if has_cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cpu:gloo,cuda:nccl" if has_cuda else "gloo", timeout=_PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def told(value: Any = None) -> Any:
    """Return what the first process says here; what the others say counts for nothing."""
    said = [value]
    if number() > 1:
        dist.broadcast_object_list(said, src=0, device=torch.device("cpu"))
    return said[0]


def share(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return this process's part of the rows. All are equally long, so that all make as many steps.

    >>> share(np.arange(3)).tolist()
    [0, 1, 2]
    """
    length = -(-len(rows) // number())
    return np.resize(rows, length * number())[rank() :: number()]


def averaging(module: nn.Module) -> nn.Module:
    """Return a module that begins with the first process's parameters; its slopes are the mean of all processes."""
    return DistributedDataParallel(module) if number() > 1 else module
