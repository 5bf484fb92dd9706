"""A network that two processes of torchrun train: as good as that of one, the same each time, and never half of one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.torchrun_fit import fit

_TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone")
pytestmark = pytest.mark.timeout(900)


def torchrun(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `tests.torchrun_fit` in two processes over the loopback interface."""
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    command = (*_TORCHRUN, "-m", "tests.torchrun_fit", *arguments)
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=800, check=False)


def test_two_processes_find_what_one_finds_and_the_same_each_time(tmp_path: Path) -> None:
    done = torchrun(str(tmp_path / "out.npz"))
    assert done.returncode == 0, done.stderr
    found, (alone, ndcg) = np.load(tmp_path / "out.npz"), fit()
    assert abs(float(found["ndcg"]) - ndcg) < 0.05 and ndcg > 0.2
    names = [name.removeprefix("0/") for name in found.files if name.startswith("0/")]
    assert all(np.array_equal(found[f"0/{name}"], found[f"1/{name}"]) for name in names)
    assert not np.array_equal(found["0/history"], alone.history), "two took part"


def test_where_one_process_dies_the_others_end_without_a_result(tmp_path: Path) -> None:
    assert torchrun(str(tmp_path / "out.npz"), "dies").returncode != 0
    assert not (tmp_path / "out.npz").exists()
