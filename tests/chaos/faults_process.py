"""Processes that die, are told to stop, or stand still."""

import os
import signal
from typing import Final

from tests.chaos.fault import Fault, Target, UnprovenError, landed
from tests.chaos.group import members, shards_of
from tests.chaos.stack import is_gone, state_of

ZOMBIE_S: Final = 20.0


class EndProcess(Fault):
    """A process is killed, or told to stop; its supervisor starts another."""

    def __init__(self, role: str, number: signal.Signals) -> None:
        self.role = role
        self.number = number
        self.name = f"{role} {'killed' if number == signal.SIGKILL else 'told to stop'}"

    async def inject(self, target: Target) -> str:
        """End one process of the role; the proof is that it has gone and another has come."""
        running = target.stack.pids()[self.role]
        if not running:
            raise UnprovenError(f"no {self.role} runs")
        pid = target.random.choice(running)
        await self._remember_shards(target, running.index(pid))
        target.strike_now()
        os.kill(pid, self.number)

        async def gone() -> bool:
            return is_gone(pid)

        await landed(gone, f"{self.role} {pid} ends")

        async def replaced() -> bool:
            return target.stack.is_whole() and pid not in target.stack.pids()[self.role]

        await landed(replaced, f"another {self.role} in the place of {pid}")
        return f"{self.role} {pid} got {self.number.name} and has gone"

    async def _remember_shards(self, target: Target, index: int) -> None:
        """Note which shards a worker has: its learners are those that wait."""
        if self.role == "worker":
            found = await members(target.stack.connections.kafka_bootstrap_servers)
            target.own_shards = shards_of(f"worker-{index + 1}", found)


class KillSupervisor(Fault):
    """`up` is killed, all its processes die with it, and it is started again on the same state directory."""

    name = "supervisor killed"

    async def inject(self, target: Target) -> str:
        """Kill `up`; the proof is that its processes have gone too."""
        pid = target.stack.pid
        target.strike_now()
        orphans = await target.stack.kill_supervisor()
        if not orphans:
            raise UnprovenError(f"`up` {pid} had no processes")

        async def gone() -> bool:
            return all(map(is_gone, orphans))

        await landed(gone, f"the processes {orphans} of `up` {pid} end with it")
        return f"`up` {pid} and its {len(orphans)} processes have gone"

    async def heal(self, target: Target) -> None:
        """Start it again."""
        await target.stack.start()


class Standstill(Fault):
    """A worker is stopped for so long that its group gives up on it; then it goes on with what it had in hand."""

    name = "worker stopped, then continued"
    hold_s = ZOMBIE_S

    def __init__(self) -> None:
        self._pid = 0

    async def inject(self, target: Target) -> str:
        """Stop a worker; the proof is the kernel's."""
        self._pid = target.random.choice(target.stack.pids()["worker"])
        os.kill(self._pid, signal.SIGSTOP)

        async def stopped() -> bool:
            return state_of(self._pid) == "T"

        await landed(stopped, f"worker {self._pid} stands still")
        return f"worker {self._pid} stood in state T for {self.hold_s:.0f} s"

    async def heal(self, target: Target) -> None:
        """Let it go on; it must have stood still until now."""
        state = state_of(self._pid)
        os.kill(self._pid, signal.SIGCONT)
        if state != "T":
            raise UnprovenError(f"worker {self._pid} is in state {state!r}, although it was stopped")
