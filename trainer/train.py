"""Trainings on demand: each runs in a child process, which gives torch's memory back when it ends."""

import asyncio
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from typing import Final, Literal

import msgspec

from schemas.errors import CoursestreamError
from trainer.child import Order, Outcome, Step
from trainer.result import Progress, TrainResult, no_progress
from trainer.settings import TrainerSettings

SILENCE_S: Final = 1_800.0
"""A training that reports no step for so long hangs; the longest known, EASE on 12,000 courses, takes minutes."""

_LINE_BYTES: Final = 1 << 24
_decoder: Final[msgspec.json.Decoder[Step | Outcome]] = msgspec.json.Decoder(Step | Outcome)


def leads() -> bool:
    """Whether this is the first of the processes that torchrun started, or no torchrun did."""
    return os.environ.get("RANK", "0") == "0"


class TrainingError(CoursestreamError):
    """A training ended without a result; what was live stays live."""


async def train_once(
    settings: TrainerSettings,
    *,
    seed: int | None = None,
    force: bool = False,
    as_of_ms: int | None = None,
    progress: Progress = no_progress,
) -> TrainResult:
    """Train on the log as it is now, or was at `as_of_ms` (append time, inclusive); put a good model live.

    With too little to learn from, or a model that is not good enough, the result says why it was not published; `force`
    publishes all the same. Raises TrainingError if the training failed. A cancelled call ends the training.
    """
    return await _run("model", settings, seed, force, as_of_ms, progress)


async def bootstrap_once(settings: TrainerSettings, *, seed: int | None = None) -> TrainResult:
    """Put a bundle of the catalogue alone live, unless a trained model is."""
    return await _run("bootstrap", settings, seed, False, None, no_progress)


async def _run(
    what: Literal["model", "bootstrap"],
    settings: TrainerSettings,
    seed: int | None,
    force: bool,
    as_of_ms: int | None,
    progress: Progress,
) -> TrainResult:
    order = Order(
        what=what,
        settings=settings.model_dump(mode="json", exclude={"train_config"}),
        seed=settings.train_seed if seed is None else seed,
        force=force,
        as_of_ms=as_of_ms,
    )
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(settings.train_threads))
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "trainer.child"),
        stdin=PIPE,
        stdout=PIPE,
        env={**os.environ, **threads},
        limit=_LINE_BYTES,
    )
    began = time.monotonic()
    try:
        result = await _converse(child, order, progress)
        return msgspec.structs.replace(result, seconds=round(time.monotonic() - began, 3))
    finally:
        if child.returncode is None:
            child.kill()  # a training holds nothing that could be left half done: bundles arrive by rename
        await child.wait()


async def _next_line(stdout: asyncio.StreamReader) -> bytes:
    """Return what the child says next, empty at its end. One that follows another waits as long as that takes."""
    try:
        return await asyncio.wait_for(stdout.readline(), SILENCE_S if leads() else None)
    except TimeoutError:
        raise TrainingError(f"the training reported no step for {SILENCE_S:.0f} s and was ended") from None


async def _converse(child: Process, order: Order, progress: Progress) -> TrainResult:
    """Hand the order to the child and follow it to its outcome."""
    if child.stdin is None or child.stdout is None:
        raise TrainingError("the training process has no pipes")
    child.stdin.write(msgspec.json.encode(order) + b"\n")
    while line := await _next_line(child.stdout):
        match _decoder.decode(line):
            case Step(what, fraction):
                progress(what, fraction)
            case Outcome(TrainResult() as result):
                return result
            case Outcome(error=error):
                raise TrainingError(error)
    raise TrainingError(f"the training process ended with exit code {await child.wait()} before it had a result")
