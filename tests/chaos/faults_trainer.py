"""The trainer dies in each phase of a training; what it had begun is begun again, and nothing half-made goes live."""

import asyncio
import os
import signal
from typing import Final

from adapters.follow import append_control
from schemas.control import RefitRequested
from tests.chaos.fault import Fault, Target, UnprovenError, landed
from tests.chaos.stack import LogMark, is_gone

PHASES: Final = ("reading the log", "training on", "writing the bundle", "announcing", "training m-")
"""What the trainer's log says when a phase begins; the last line is said when all is done."""
_TRIES: Final = 4
_TRAINING_S: Final = 180.0
_LOOK_S: Final = 0.003


class KillTrainer(Fault):
    """The trainer and its training are killed in one phase."""

    def __init__(self, phase: int) -> None:
        self._said = PHASES[phase]
        self._next = PHASES[phase + 1]
        self.name = f"trainer killed: {self._said.split(' m-')[0]}"

    async def inject(self, target: Target) -> str:
        """Ask for a training and kill it; the proof is that its next phase never began."""
        for _ in range(_TRIES):
            pid = target.stack.pids()["trainer"][0]
            mark = target.log_mark()
            await append_control(target.stack.connections.kafka_bootstrap_servers, RefitRequested(force=True))
            await self._begins(mark)
            target.strike_now()
            os.killpg(pid, signal.SIGKILL)  # its training is a child in the same group

            async def gone(pid: int = pid) -> bool:
                return is_gone(pid)

            await landed(gone, f"trainer {pid} ends")
            if self._next not in mark.said().partition(self._said)[2]:
                await landed(lambda: self._replaced(target, pid), "another trainer")  # noqa: B023 - awaited in this round
                return f"trainer {pid} killed after it said {self._said!r} and before {self._next!r}"
        raise UnprovenError(f"{_TRIES} times the trainer was through with {self._said!r} before it could be killed")

    async def _begins(self, mark: LogMark) -> None:
        async with asyncio.timeout(_TRAINING_S):
            while self._said not in mark.said():  # noqa: ASYNC110 - a line in a file
                await asyncio.sleep(_LOOK_S)

    async def _replaced(self, target: Target, pid: int) -> bool:
        return target.stack.is_whole() and pid not in target.stack.pids()["trainer"]


def trainer_kills() -> list[Fault]:
    """Return a fault for each phase."""
    return [KillTrainer(phase) for phase in range(len(PHASES) - 1)]
