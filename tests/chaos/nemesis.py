"""The nemesis: picks faults by a seed, injects, has them proven, heals, and times the recovery."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from random import Random
from signal import SIGKILL, SIGTERM
from typing import Any, Final

from redis.exceptions import RedisError

from schemas.keys import ShardKeys
from tests.chaos.fault import SHARDS, Fault, Target
from tests.chaos.faults_members import AddWorker, RemoveWorker, bad_networks
from tests.chaos.faults_process import EndProcess, KillSupervisor, Standstill
from tests.chaos.faults_redis import FlushAll, OldBackup, refusing
from tests.chaos.faults_trainer import trainer_kills
from tests.chaos.stack import until


@dataclass(frozen=True)
class Happened:
    """A fault that was injected. Seconds are from the fault (for one that lasts: from its end) to all fresh again.

    `own_s`: the same for the shards of the worker that was hit, where one was.
    """

    number: int
    name: str
    proof: str
    recovery_s: float
    own_s: float | None = None
    error: str = ""

    def line(self) -> dict[str, Any]:
        """Return what is kept of it."""
        return asdict(self)


def all_faults() -> list[Fault]:
    """Return one fault of every kind."""
    ends = [(role, number) for role in ("worker", "api") for number in (SIGKILL, SIGTERM)]
    ends += [("trainer", SIGTERM), ("kafka", SIGKILL), ("redis", SIGKILL)]
    return [
        *(EndProcess(role, number) for role, number in ends),
        *trainer_kills(),
        KillSupervisor(),
        Standstill(),
        FlushAll(),
        OldBackup(),
        *refusing(),
        AddWorker(),
        RemoveWorker(),
        *bad_networks(),
    ]


def pick(seed: int, number: int, kinds: Sequence[str]) -> str:
    """Return the kind of fault number n: every kind comes once before one comes again.

    >>> sorted(pick(1, number, "abc") for number in range(3)), pick(1, 4, "abc") == pick(1, 4, "abc")
    (['a', 'b', 'c'], True)
    """
    deck = list(kinds)
    Random(f"{seed} deck {number // len(deck)}").shuffle(deck)
    return deck[number % len(deck)]


class Nemesis:
    """Injects one fault after the other into a running system."""

    def __init__(self, target: Target, seed: int, names: Sequence[str], patience_s: float) -> None:
        self._target = target
        self._seed = seed
        self._patience_s = patience_s
        self._make: Final[Callable[[], dict[str, Fault]]] = lambda: {fault.name: fault for fault in all_faults()}
        self._names = list(names) or list(self._make())

    def kind(self, number: int) -> str:
        """Return the kind of fault number n."""
        return pick(self._seed, number, self._names)

    async def strike(self, number: int) -> Happened:
        """Inject fault number n, heal it, and wait until every shard's lists are fresh again."""
        target, fault = self._target, self._make()[self.kind(number)]
        target.random.seed(f"{self._seed} fault {number}")
        target.own_shards = []
        began = time.monotonic()
        try:
            proof = await fault.inject(target)
            if fault.hold_s:
                await asyncio.sleep(max(began + fault.hold_s - time.monotonic(), 0.0))
            await fault.heal(target)
            if fault.hold_s:
                target.strike_now()
        except Exception as error:
            return Happened(number, fault.name, "", 0.0, error=f"{type(error).__name__}: {error}")
        return await self._recovered(number, fault, proof, target.struck_at)

    async def _recovered(self, number: int, fault: Fault, proof: str, began: float) -> Happened:
        prober, own, own_s = self._target.prober, self._target.own_shards, None
        try:
            async with asyncio.timeout(self._patience_s):
                if own:
                    own_s = await prober.fresh_after(began, own) - began
                await prober.fresh_after(began)
            marked_ms = time.time() * 1_000
            await until(lambda: self._no_older_mark(marked_ms), "no learner marked before is left", self._patience_s)
        except Exception as error:
            return Happened(number, fault.name, proof, 0.0, own_s, f"no recovery: {type(error).__name__}: {error}")
        return Happened(number, fault.name, proof, time.monotonic() - began, own_s)

    async def _no_older_mark(self, moment_ms: float) -> bool:
        client = self._target.redis()
        try:
            with suppress(RedisError):
                counts = [await client.zcount(ShardKeys(shard, 0).dirty, 0, moment_ms) for shard in range(SHARDS)]
                return not any(counts)
            return False
        finally:
            await client.aclose()
