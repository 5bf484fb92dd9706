"""The exclusive lock on a state directory."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from schemas.errors import StateDirInUseError

_DEATH_S: Final = 2.0
"""So long the brokers of an `up` that was killed may hold the lock while they die."""
_RETRY_S: Final = 0.02


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def locked(state_dir: Path) -> Iterator[int]:
    """Hold the directory's lock; yield its descriptor.

    Brokers inherit the descriptor, so after a crash the lock is free once they are gone too, and never two of them
    write the same files. Raises StateDirInUseError if it stays held.
    """
    path = state_dir / "lock"
    state_dir.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + _DEATH_S
        while not _lock(descriptor):
            if time.monotonic() > deadline:
                holder = path.read_text() or "(unknown)"
                raise StateDirInUseError(
                    f"{state_dir} is in use by process {holder}: stop it with `kill {holder}`, "
                    "or choose another directory with --state-dir"
                )
            time.sleep(_RETRY_S)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)
