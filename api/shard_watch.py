"""What is known of the shards beside the look-ups: read every second, so that nobody waits for what is away.

A look-up that fails closes its server to others until a read here succeeds: each answer is degraded at once, in place
of every one after the client's retries. Whoever follows a list is woken when any shard becomes whole or ceases to be.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from redis.asyncio import RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from adapters.follow import ControlLog
from adapters.redis import Client, is_passing
from api.trust import Stand, Trust
from schemas.keys import ShardKeys
from schemas.meta import Status

logger: Final = logging.getLogger(__name__)

_PROBE_S: Final = 0.2


def stand_of(answer: Sequence[bytes | None]) -> Stand:
    """Return where a shard stands from its status, nonce and `applied`."""
    status, nonce, applied = answer
    if not (status and nonce and applied):
        return Stand()
    return Stand(Status(status.decode()), nonce.decode(), int(applied))


class ShardWatch:
    """Every shard's status and `applied` as read last, and which cannot be reached."""

    def __init__(
        self, client: Client, control: ControlLog, trust: Trust, interval_s: float, timeout_s: float,
        changed: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._client = client
        self._control = control
        self.trust = trust
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._changed = changed
        self._stands: dict[int, Stand] = {}
        self._doubted_at: dict[int, float] = {}
        self._away: set[int] = set()
        self._tripped = asyncio.Event()
        self._whole: dict[int, float] = {}

    @asynccontextmanager
    async def reaching(self, shard: int) -> AsyncIterator[None]:
        """Run one command for a shard in time. Raises RedisError, at once while its server is away, or TimeoutError."""
        if shard in self._away:
            raise RedisConnectionError(f"Redis is away for shard {shard}")
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except (RedisError, TimeoutError) as error:
            if not isinstance(error, RedisError) or is_passing(error):
                self.close(shard)
            raise

    @property
    def degraded_shards(self) -> list[int]:
        """Shards whose learners get degraded answers."""
        return [shard for shard in range(self._control.state.partitions) if shard not in self._whole]

    def is_closed(self, shard: int) -> bool:
        """Whether the server of a shard does not answer."""
        return shard in self._away

    @property
    def is_away(self) -> bool:
        """Whether no shard can be reached."""
        return not self._stands.keys() - self._away

    @property
    def applied(self) -> dict[int, int]:
        """The last merged offset of every shard that can be reached, -1 where there is no state."""
        return {shard: stand.applied for shard, stand in self._stands.items() if shard not in self._away}

    def _groups(self) -> list[list[int]]:
        """Return the shards that are reached and lost together."""
        shards = list(range(self._control.state.partitions))
        return [[shard] for shard in shards] if isinstance(self._client, RedisCluster) else [shards]

    def close(self, shard: int) -> None:
        """Let nobody wait for the server of a shard until a read succeeds."""
        self._away.update(next(group for group in self._groups() if shard in group))
        self._tripped.set()

    async def run(self) -> None:
        """Watch for ever."""
        while True:
            self._tripped.clear()
            await self.look()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._tripped.wait(), _PROBE_S if self._away else self._interval_s)

    async def look(self) -> None:
        """Read where all shards stand; say so if others than before are whole."""
        await asyncio.gather(*(self._look_at(group) for group in self._groups()))
        whole = {shard: self._doubted_at[shard] for shard in self._stands if self._is_whole(shard)}
        if whole != self._whole:
            self._whole = whole
            self._changed()

    def _is_whole(self, shard: int) -> bool:
        stand = self._stands[shard]
        is_live = shard not in self._away and stand.status == Status.LIVE
        return is_live and self.trust.is_proved(shard, stand.applied, self._doubted_at[shard])

    async def _look_at(self, group: Sequence[int]) -> None:
        doubted_at = {shard: self.trust.doubted_at(shard) for shard in group}
        try:
            stands = await self._read(group)
        except (RedisError, TimeoutError) as error:
            if not self._away.issuperset(group):
                logger.warning("shards %s cannot be read: %r", list(group), error)
            self._away.update(group)
            return
        self._away.difference_update(group)
        for shard, stand in zip(group, stands, strict=True):
            self._take(shard, stand)
        self._doubted_at.update(doubted_at)

    async def _read(self, group: Sequence[int]) -> list[Stand]:
        pipeline = self._client.pipeline(transaction=False)
        for shard in group:
            pipeline.hmget(ShardKeys(shard, self._control.state.generation).meta, "status", "nonce", "applied")
        async with asyncio.timeout(self._timeout_s):
            answers: list[Any] = await pipeline.execute()
        return [stand_of(answer) for answer in answers]

    def _take(self, shard: int, stand: Stand) -> None:
        """Take in where a shard stands. One that went back, or is another's, was put there by somebody else."""
        before = self._stands.get(shard)
        self._stands[shard] = stand
        if before and before.nonce and (stand.nonce != before.nonce or stand.applied < before.applied):
            self.trust.doubt(shard)
