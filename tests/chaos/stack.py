"""The system under test, started as a user starts it, and how it is reached."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import psutil

from cli.tokens import sign
from deploy.ready import READY
from deploy.this_python import dying_with_us
from schemas.settings import Connections

SCOPES: Final = "publisher reader operator admin"
PATIENCE_S: Final = 180.0
"""How long anything may take that must come by itself, on a machine that has much else to do."""
ROLES: Final = ("api", "kafka", "redis", "trainer")
ROOT: Final = Path(__file__).parents[2]


_AS_USERS_HAVE_IT: Final = {"PYTHONDONTWRITEBYTECODE": ""}
"""Or each start would compile everything anew."""


class GaveUpError(Exception):
    """What must come by itself did not come."""


async def until(holds: Callable[[], Awaitable[bool]], what: str, patience_s: float = PATIENCE_S) -> float:
    """Wait until `holds()`; return the seconds it took."""
    began = time.monotonic()
    while not await holds():
        if time.monotonic() - began > patience_s:
            raise GaveUpError(f"waited {patience_s:.0f} s in vain: {what}")
        await asyncio.sleep(0.05)
    return time.monotonic() - began


def state_of(pid: int) -> str:
    """Return the letter of a process's state as the kernel shows it; empty if there is no such process."""
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def is_gone(pid: int) -> bool:
    """Whether a process has ended, be it that nobody has fetched its status yet."""
    return state_of(pid) in ("", "Z", "X")


def spawn(command: tuple[str, ...], log: Path, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Start a program that ends with this process; its output goes on where an earlier one's ended."""
    with log.open("ab") as output:
        return subprocess.Popen(
            dying_with_us(*command),
            env={**os.environ, **_AS_USERS_HAVE_IT, **environment},
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip


class Stack:
    """A `coursestream up` over one folder."""

    def __init__(self, folder: Path, settings: Mapping[str, str], workers: int = 2) -> None:
        self.folder = folder
        self.state_dir = folder / "state"
        self.log = folder / "up.log"
        self._settings = settings
        self._workers = workers
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the supervisor."""
        if self._process is None:
            raise GaveUpError("the system was not started")
        return self._process.pid

    async def start(self) -> None:
        """Start it, and wait until it serves."""
        self.state_dir.mkdir(parents=True, exist_ok=True)
        (self.state_dir / READY).unlink(missing_ok=True)
        command = ("up", "--state-dir", str(self.state_dir), "--port", "0", "--workers", str(self._workers))
        process = self._process = spawn((sys.executable, "-m", "cli.app", *command), self.log, self._settings)

        async def serves() -> bool:
            if process.poll() is not None:
                raise GaveUpError(f"`up` ended with status {process.returncode}: see {self.log}")
            return self.is_whole()

        await until(serves, "the system serves")

    async def stop(self) -> None:
        """End it as an operator does; nothing may be left of it."""
        if self._process is None:
            return
        children = psutil.Process(self._process.pid).children(recursive=True) if self._process.poll() is None else []
        self._process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(self._process.wait, PATIENCE_S)
        _, alive = await asyncio.to_thread(psutil.wait_procs, children, 5)
        if alive:
            raise GaveUpError(f"{alive} were left behind")

    async def kill_supervisor(self) -> list[int]:
        """Kill `up` itself; return the processes that had to die with it."""
        if self._process is None:
            raise GaveUpError("the system was not started")
        orphans = [child.pid for child in psutil.Process(self.pid).children(recursive=True)]
        self._process.kill()
        await asyncio.to_thread(self._process.wait)
        return orphans

    def ready(self) -> dict[str, Any]:
        """Return what `ready.json` says now; empty while nothing serves."""
        try:
            found: dict[str, Any] = json.loads((self.state_dir / READY).read_text())
        except FileNotFoundError:
            return {}
        return found

    def pids(self) -> dict[str, list[int]]:
        """Return the process ids of each role that run now."""
        found = self.ready().get("pids", {})
        one_each = {role: [found[role]] if found.get(role) else [] for role in ROLES}
        return {**one_each, "worker": found.get("workers", [])}

    def is_whole(self) -> bool:
        """Whether every process of the system is there."""
        pids = self.pids()
        return len(pids["worker"]) == self._workers and all(pids[role] for role in ROLES)

    @property
    def connections(self) -> Connections:
        """Kafka and Redis; their addresses are the same after every restart."""
        ready = self.ready()
        return Connections(
            kafka_bootstrap_servers=ready["kafka"],
            redis_url=ready["redis_url"],
            bundle_url=str(self.state_dir / "bundles"),
            bundle_cache=self.state_dir / "bundle-cache",
        )

    def headers(self) -> dict[str, str]:
        """Return what authorises a client for a day."""
        secret = (self.state_dir / "secret").read_text().strip()
        return {"Authorization": f"Bearer {sign(secret, 'chaos', SCOPES, 86_400)}"}

    async def ask(self, *arguments: str) -> Any:
        """Run a command against this system; return its JSON."""
        command = (sys.executable, "-m", "cli.app", *arguments, "--state-dir", str(self.state_dir), "--json", "-")
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, cwd=ROOT, check=False)
        if done.returncode:
            raise GaveUpError(f"{' '.join(arguments)}: {done.stderr}")
        return json.loads(done.stdout)


class LogMark:
    """A place in a log file: what was said since."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = path.stat().st_size if path.exists() else 0

    def said(self) -> str:
        """Return what was written since this mark was set."""
        with self._path.open("rb") as log:
            log.seek(self._at)
            return log.read().decode(errors="replace")
