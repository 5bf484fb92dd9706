"""Runs parts of benches as child processes of the command line, so many at once, and keeps what they answer."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from bench.machine import machine
from bench.results import Result
from bench.suite import Bench, Part, words_of
from deploy.this_python import dying_with_us, run_module
from trainer.settings import toml_of

_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Children run side by side: a thread more of one would be a thread less of another."""

_SHOWN_OF_ERROR: Final = 300


class Job(NamedTuple):
    """A part to run, on which data if any, and where its answer is kept."""

    bench: Bench
    part: Part
    data: Path | None
    limit: int
    kept: Path

    @property
    def path(self) -> Path:
        """Where the result is kept; its neighbours are the child's log, answer and settings."""
        return self.kept / f"{self.bench.name}.{self.part.name}.json"

    @property
    def name(self) -> str:
        """What the job is called where a person reads."""
        return f"{self.bench.name}, {self.part.name}"


Told = Callable[[str], None]


def run_all(jobs: Sequence[Job], at_once: int, told: Told) -> list[Result]:
    """Run jobs, the longest first; return their results, those that failed with their error.

    What is interrupted or told to end leaves no child behind, and the results that were there.
    """
    try:
        return asyncio.run(_run_all(sorted(jobs, key=lambda job: -job.part.minutes), at_once, told))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _run_all(jobs: Sequence[Job], at_once: int, told: Told) -> list[Result]:
    running, turn = asyncio.current_task(), asyncio.Semaphore(at_once)
    if running is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)

    async def run(job: Job) -> Result:
        async with turn:
            told(f"{job.name}: begun, about {job.part.minutes:g} minutes")
            result = await _run(job)
            job.path.write_bytes(msgspec.json.format(msgspec.json.encode(result)))
            told(f"{job.name}: {result.error or 'done'}, {result.seconds:.0f} s")
            return result

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run(job)) for job in jobs]
    return [task.result() for task in tasks]


async def _run(job: Job) -> Result:
    answer, log = job.path.with_suffix(".answer"), job.path.with_suffix(".log")
    answer.unlink(missing_ok=True)
    began = time.monotonic()
    with log.open("wb") as lines:
        error = await _finish(await _start(job, answer, lines.fileno()), log, job.part.longest_s)
    return Result(
        bench=job.bench.name,
        part=job.part.name,
        call=" ".join(["coursestream", *words_of(job.part, "DATA", job.limit)]),
        settings=dict(job.part.settings),
        seconds=round(time.monotonic() - began, 1),
        moment=datetime.now(UTC),
        machine=machine(),
        answer={} if error else msgspec.json.decode(answer.read_bytes()),
        error=error.replace(str(job.data), "DATA") if job.data else error,
    )


async def _start(job: Job, answer: Path, log: int) -> asyncio.subprocess.Process:
    """Start the child, which dies with us."""
    words = [*words_of(job.part, str(job.data), job.limit), "--json", str(answer)]
    if job.part.settings:
        config = job.path.with_suffix(".toml")
        config.write_text(toml_of(job.part.settings))
        words += ["--config", str(config)]
    command = dying_with_us(*run_module("cli.app", *words))
    return await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **_ONE_THREAD}
    )


async def _finish(child: asyncio.subprocess.Process, log: Path, longest_s: float) -> str:
    """Wait for the child; return nothing, or what went wrong."""
    try:
        status = await asyncio.wait_for(child.wait(), longest_s)
    except TimeoutError:
        return f"given up after {longest_s:.0f} s"
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    lines = log.read_text(errors="replace").strip().splitlines() or [f"ended with status {status}"]
    return lines[-1].removeprefix("coursestream: ")[:_SHOWN_OF_ERROR] if status else ""
