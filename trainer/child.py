"""The training child: `python -m trainer.child`.

It reads an `Order` from standard input, writes `Step`s and at last an `Outcome` to standard output, one JSON object a
line, and ends at once when its standard input closes, that is when its parent dies.
"""

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from typing import Any, BinaryIO, Final, Literal

import msgspec

from schemas.errors import CoursestreamError
from trainer.bootstrap import make_bootstrap
from trainer.result import TrainResult
from trainer.settings import TrainerSettings

_STEP_S: Final = 0.1
"""Least time between two reports of progress."""

_NICENESS: Final = 10
"""A training gives way to the stream and the API."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be made: a trained model, or a bootstrap bundle of the catalogue alone."""

    what: Literal["model", "bootstrap"]
    settings: dict[str, Any]
    seed: int
    force: bool = False
    as_of_ms: int | None = None


class Step(msgspec.Struct, frozen=True, tag=True):
    """How far a training is."""

    what: str
    fraction: float


class Outcome(msgspec.Struct, frozen=True, tag=True):
    """How a training ended: with a result, or with one line that says why there is none."""

    result: TrainResult | None = None
    error: str = ""


class Reporter:
    """Writes steps, not more often than somebody could see."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._written_at = 0.0

    def write(self, line: Step | Outcome) -> None:
        """Write one line."""
        self._stream.write(msgspec.json.encode(line) + b"\n")
        self._stream.flush()

    def progress(self, what: str, fraction: float) -> None:
        """Write a step if the last is old enough."""
        now = time.monotonic()
        if now - self._written_at >= _STEP_S:
            self._written_at = now
            self.write(Step(what, fraction))


async def obey(order: Order, reporter: Reporter) -> TrainResult:
    """Carry out an order in this process."""
    settings = TrainerSettings(**order.settings, train_config=None)  # its values are in the order
    if order.what == "bootstrap":
        return await make_bootstrap(settings, order.seed)
    from trainer.make import make_together  # imports torch, which takes 2 s and 300 MB

    return await make_together(settings, order.seed, order.force, order.as_of_ms, reporter.progress)


def _end_with_parent() -> None:
    """End this process when standard input closes."""
    while os.read(0, 1 << 16):  # past the buffer, whose lock would abort the interpreter at its end
        pass
    os._exit(1)


def _own_stdout() -> BinaryIO:
    """Return standard output for our lines alone; what others print goes to standard error."""
    stream = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return stream


def main() -> None:
    """Obey one order."""
    reporter = Reporter(_own_stdout())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, and the parent ends us
    os.nice(_NICENESS)
    line = sys.stdin.buffer.readline()
    if not line:
        return  # the parent ended before it had given its order
    order = msgspec.json.decode(line, type=Order)
    logging.basicConfig(level=str(order.settings["log_level"]).upper(), format="%(levelname)s %(name)s: %(message)s")
    for noisy in ("aiokafka", "faiss"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        reporter.write(Outcome(asyncio.run(obey(order, reporter))))
    except CoursestreamError as error:
        reporter.write(Outcome(error=str(error)))
    except Exception as error:
        logging.getLogger(__name__).exception("the training failed")
        reporter.write(Outcome(error=f"the training failed: {error!r}"))


if __name__ == "__main__":
    main()
