"""The exclusive lock on a state directory."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import lock
from deploy.lock import locked
from schemas.errors import StateDirInUseError

_HOLD = """
import sys, subprocess
from pathlib import Path
from deploy.lock import locked
with locked(Path(sys.argv[1])) as lock:
    broker = subprocess.Popen(["sleep", sys.argv[2]], pass_fds=[lock])
    print(broker.pid, flush=True)
    broker.wait()
"""


def test_a_second_holder_is_told_who_is_first_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "_DEATH_S", 0.1)
    with (
        locked(tmp_path / "state"),
        pytest.raises(StateDirInUseError, match=rf"process {os.getpid()}\b.*kill {os.getpid()}.*--state-dir"),
        locked(tmp_path / "state"),
    ):
        pass


def test_the_lock_is_free_after_its_holder_left(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path):
            pass


@pytest.mark.parametrize(("broker_dies_after_s", "free"), [(1, True), (60, False)])
def test_after_a_crash_the_lock_is_free_when_the_brokers_are_gone(
    tmp_path: Path, broker_dies_after_s: int, free: bool
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path), str(broker_dies_after_s)], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        broker = int(holder.stdout.readline())
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        try:
            if free:
                with locked(tmp_path):
                    pass
            else:
                with pytest.raises(StateDirInUseError), locked(tmp_path):
                    pass
        finally:
            if not free:
                os.kill(broker, signal.SIGKILL)
