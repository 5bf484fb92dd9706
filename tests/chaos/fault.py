"""What a fault is, and what it may use."""

import asyncio
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from redis.asyncio import Redis

from adapters.redis import connect
from schemas.keys import ShardKeys
from tests.chaos.extra_worker import ExtraWorker
from tests.chaos.probes import Prober
from tests.chaos.record import Record
from tests.chaos.stack import LogMark, Stack

SHARDS: Final = 16
LANDING_S: Final = 60.0
"""A fault that has not shown itself after so long has not landed."""


class UnprovenError(Exception):
    """A fault did not land, or could not show that it did."""


@dataclass
class Target:
    """What a fault may touch."""

    stack: Stack
    extra: ExtraWorker
    prober: Prober
    record: Record
    random: Random
    own_shards: list[int] = field(default_factory=list)
    """Shards of the worker that the fault in hand hits."""
    struck_at: float = 0.0
    """When it hit, s of the monotonic clock."""

    def strike_now(self) -> None:
        """Note that the fault in hand hits at this moment."""
        self.struck_at = time.monotonic()

    def redis(self) -> Redis:
        """Return a client of the system's Redis; the caller closes it."""
        client = connect(self.stack.connections)
        assert isinstance(client, Redis)
        return client

    def log_mark(self) -> LogMark:
        """Return a place in what the system's processes say."""
        return LogMark(self.stack.log)


class Fault(ABC):
    """One kind of mischief. `inject` returns the proof that it landed, or raises UnprovenError."""

    name: str
    hold_s: float = 0.0
    """How long it lasts before it is healed."""

    @abstractmethod
    async def inject(self, target: Target) -> str:
        """Do it."""

    async def heal(self, target: Target) -> None:  # noqa: B027 - most faults are mended by the system itself
        """Take it back; what mends itself needs nothing."""


async def nonces(client: Redis) -> dict[int, str]:
    """Return the nonce of each shard's state in generation 0; of a shard without state, none."""
    pipeline = client.pipeline(transaction=False)
    for shard in range(SHARDS):
        pipeline.hget(ShardKeys(shard, 0).meta, "nonce")
    found = await pipeline.execute()
    return {shard: nonce.decode() for shard, nonce in enumerate(found) if nonce}


async def landed(shows: Any, what: str, patience_s: float = LANDING_S) -> None:
    """Wait until `await shows()`; raise UnprovenError if it never does."""
    deadline = time.monotonic() + patience_s
    while not await shows():
        if time.monotonic() > deadline:
            raise UnprovenError(f"not seen within {patience_s:.0f} s: {what}")
        await asyncio.sleep(0.02)
