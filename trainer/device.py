"""Where a training runs, and what it does to be repeatable there and fast."""

import os
from typing import Literal

import torch

from schemas.errors import ConfigurationError


def device_of(wanted: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """Return the device of a training; `auto` is CUDA where there is some. ConfigurationError if it is not there."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError("there is no CUDA device here, or this build of PyTorch has no CUDA: TRAIN_DEVICE=cpu")
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def make_deterministic(seed: int, threads: int) -> None:
    """Fix all that a training depends on: seed, threads, algorithms."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS may add up in any order
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("error")  # as use_deterministic_algorithms, which imports 5 s of compiler
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # or all is written twice


def mixed_precision(device: torch.device) -> torch.autocast:
    """Return what has matrices multiplied in bfloat16 where the hardware does that, and sums kept in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda" or _multiplies_bfloat16())


def _multiplies_bfloat16() -> bool:
    """Return whether this CPU multiplies matrices in bfloat16; emulated it is slower than float32."""
    able = torch.cpu.get_capabilities()
    return bool(able.get("amx_bf16") or able.get("avx512_bf16"))
