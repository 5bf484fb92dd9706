"""One supervised child process: started, watched, restarted with backoff, stopped."""

import asyncio
import os
import signal
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from adapters.redis import end_tasks
from deploy.log_lines import LogLines
from deploy.probes import until
from deploy.this_python import dying_with_us
from schemas.errors import NotReadyError

FIRST_DELAY_S: Final = 0.2
LONGEST_DELAY_S: Final = 5.0
HEALTHY_S: Final = 30.0
"""A child that was ready for so long starts again with the shortest delay."""
READY_S: Final = 180.0
ATTEMPTS: Final = 5
"""A child that has died so often before it was ever ready is given up."""
LOOK_S: Final = 5.0
MISSES: Final = 12
"""A child that was ready, and then shows no life at so many looks in a row, is killed and started again. Looks are
counted rather than seconds: a machine that was suspended has lost none.
"""
OUTPUT_S: Final = 1.0
"""How long the output of a dead child is read on, when something it started outside its session holds it open."""

_CHUNK: Final = 65_536


async def _at_once() -> bool:
    return True


def _nothing() -> None:
    """Prepare nothing."""


@dataclass(frozen=True)
class Child:
    """A program to run. `ready` is one attempt to see whether it serves; `prepare` runs before each start.

    `alive` is one attempt to see whether it still lives, whatever its dependencies do.
    """

    name: str
    command: tuple[str, ...]
    ready: Callable[[], Awaitable[bool]] = _at_once
    alive: Callable[[], Awaitable[bool]] = _at_once
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_s: float = 4.0
    prepare: Callable[[], None] = _nothing
    descriptors: tuple[int, ...] = ()


async def _spawn(child: Child) -> Process:
    # A session of its own: Ctrl-C on the terminal reaches the supervisor alone.
    return await asyncio.create_subprocess_exec(
        *dying_with_us(*child.command),
        env={**os.environ, "PYTHONUNBUFFERED": "1", **child.environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        start_new_session=True,
        pass_fds=child.descriptors,
    )


def _signal_group(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, number)


async def _copy_lines(child: Child, process: Process, log: LogLines) -> str:
    """Log what the process writes until it closes its output; return the last line."""
    assert process.stdout is not None
    rest, last = b"", ""
    while chunk := await process.stdout.read(_CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            last = line.decode(errors="replace").rstrip()
            log.say(child.name, last)
    if rest:
        last = rest.decode(errors="replace").rstrip()
        log.say(child.name, last)
    return last


async def _finish(child: Child, process: Process, log: LogLines) -> tuple[int, str]:
    """Wait for the end of a process and of what it left behind; return its status and its last line."""
    copying = asyncio.create_task(_copy_lines(child, process, log))
    try:
        status = await process.wait()
    finally:
        _signal_group(process.pid, signal.SIGKILL)
        await process.wait()
        done, _ = await asyncio.wait({copying}, timeout=OUTPUT_S)
        copying.cancel()
    return status, copying.result() if done else ""


async def run_once(child: Child, log: LogLines) -> int:
    """Run a child to its end and return its exit status; if the caller is cancelled it is killed."""
    process = await _spawn(child)
    status, _ = await _finish(child, process, log)
    return status


class Keeper:
    """Keeps one child running until `stop`."""

    def __init__(self, child: Child, log: LogLines, on_change: Callable[[], None]) -> None:
        self.child = child
        self._log = log
        self._on_change = on_change
        self._process: Process | None = None
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[None]
        self._ready_at: float | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the child, or None while it does not run."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the child and wait until it is ready for the first time."""
        loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        self._task = loop.create_task(self._keep())
        both = {self._ready, self._task}
        await asyncio.wait(both, timeout=READY_S, return_when=asyncio.FIRST_COMPLETED)
        if self._ready.done():
            self._ready.result()
        elif self._task.done():
            self._task.result()
        else:
            raise NotReadyError(f"{self.child.name} was not ready after {READY_S:.0f} s: see its log lines")

    async def stop(self) -> None:
        """Ask the child to end; kill it if it has not ended in its time."""
        if self._task is None:
            return
        self._stopping.set()
        self._terminate()
        await asyncio.wait({self._task}, timeout=self.child.stop_s)
        await self.kill()

    async def kill(self) -> None:
        """End the child at once; nothing to do if it has ended."""
        if self._task is None:
            return
        self._stopping.set()
        if self._process:
            _signal_group(self._process.pid, signal.SIGKILL)
        await asyncio.wait({self._task})
        if not self._ready.done():
            self._ready.cancel()

    def _terminate(self) -> None:
        if self._process:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)

    async def _keep(self) -> None:
        delay_s, deaths = FIRST_DELAY_S, 0
        while not self._stopping.is_set():
            status, last = await self._run()
            if self._stopping.is_set():
                return
            deaths += 1
            if not self._ready.done() and deaths == ATTEMPTS:
                self._ready.set_exception(NotReadyError(f"{self.child.name} does not start (status {status}): {last}"))
                return
            if self._was_healthy():
                delay_s = FIRST_DELAY_S
            self._log.say("up", f"{self.child.name} ended with status {status}; starting it again in {delay_s:.1f} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), delay_s)
            delay_s = min(2 * delay_s, LONGEST_DELAY_S)

    async def _run(self) -> tuple[int, str]:
        """Run the child once; return its status and last line."""
        self._ready_at = None
        try:
            self.child.prepare()
            self._process = await _spawn(self.child)
        except OSError as error:  # no memory, no descriptor, no disk: for now
            return error.errno or 1, str(error)
        if self._stopping.is_set():
            self._terminate()
        self._on_change()
        probing = asyncio.create_task(self._probe())
        try:
            return await _finish(self.child, self._process, self._log)
        finally:
            self._process = None
            await end_tasks([probing])

    async def _probe(self) -> None:
        try:
            async with asyncio.timeout(READY_S):
                await until(self.child.ready)
        except TimeoutError:
            self._end(f"was not ready after {READY_S:.0f} s")
            return
        except Exception as error:  # a probe that breaks must not look like a child that is slow
            self._log.say("up", f"{self.child.name} cannot be checked: {error!r}")
            if not self._ready.done():
                self._ready.set_exception(error)
            return
        self._ready_at = asyncio.get_running_loop().time()
        if not self._ready.done():
            self._ready.set_result(None)
        await self._watch()

    async def _watch(self) -> None:
        """Kill the child when it shows no life for long."""
        missed = 0
        while missed < MISSES:
            await asyncio.sleep(LOOK_S)
            missed = 0 if await self._is_alive() else missed + 1
        self._end(f"has shown no life for {MISSES * LOOK_S:.0f} s")

    def _end(self, why: str) -> None:
        """Kill the child; what waits for its end starts it again."""
        if self._process:
            self._log.say("up", f"{self.child.name} {why}; killing it")
            _signal_group(self._process.pid, signal.SIGKILL)

    async def _is_alive(self) -> bool:
        try:
            return await self.child.alive()
        except Exception as error:  # a probe that breaks is no proof of death
            self._log.say("up", f"{self.child.name} cannot be looked at: {error!r}")
            return True

    def _was_healthy(self) -> bool:
        return self._ready_at is not None and asyncio.get_running_loop().time() - self._ready_at >= HEALTHY_S
