"""Redis loses everything, goes back in time, is full, or takes no writes."""

import asyncio
import os
import shutil
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from tests.chaos.fault import Fault, Target, UnprovenError, landed, nonces
from tests.chaos.stack import is_gone

_MARKER: Final = "chaos:marker"
_FOLDER: Final = "appendonlydir"
_ON_DISK_S: Final = 2.5
"""Longer than the append-only file may lie in memory."""
_OLD_S: Final = 8.0


class FlushAll(Fault):
    """Redis is emptied while everything runs."""

    name = "redis emptied"

    async def inject(self, target: Target) -> str:
        """Empty it; the proof is that each shard has a state of another nonce."""
        client = target.redis()
        try:
            before = await nonces(client)
            target.strike_now()
            await client.flushall()
            after: dict[int, str] = {}

            async def anew() -> bool:
                with suppress(RedisError):
                    after.update(await nonces(client))
                return after.keys() >= before.keys() and all(after[shard] != before[shard] for shard in before)

            await landed(anew, "all nonces change")
        finally:
            await client.aclose()
        return f"{len(before)} shards have a new nonce"


class OldBackup(Fault):
    """Redis is killed, and an older copy of its files is put back while it is down."""

    name = "redis put back to an older backup"

    async def inject(self, target: Target) -> str:
        """Copy, wait, kill, put back; the proof is a marker that has its value of before the copy again."""
        folder, client = target.stack.state_dir / "redis", target.redis()
        backup, lost = folder / "backup", folder / "lost"
        try:
            await client.set(_MARKER, "before")
            await asyncio.sleep(_ON_DISK_S)
            shutil.copytree(folder / _FOLDER, backup)
            await client.set(_MARKER, "after")
            await asyncio.sleep(_OLD_S)
            pid = target.stack.pids()["redis"][0]
            target.strike_now()
            os.kill(pid, signal.SIGKILL)
            while not is_gone(pid):  # noqa: ASYNC110 - the supervisor starts another at once: no time for more
                await asyncio.sleep(0.001)
            (folder / _FOLDER).rename(lost)
            backup.rename(folder / _FOLDER)
            await landed(lambda: _holds(client, b"before"), "the marker of the backup")
        finally:
            await client.aclose()
            shutil.rmtree(lost, ignore_errors=True)
            shutil.rmtree(backup, ignore_errors=True)
        return f"redis {pid} killed, and the marker is as old as the backup"


async def _holds(client: Redis, value: bytes) -> bool:
    try:
        return bool(await client.get(_MARKER) == value)
    except RedisError:
        return False


class Refusing(Fault):
    """Redis answers, but takes no writes."""

    hold_s = 6.0

    def __init__(self, name: str, answer: str, inject: Mapping[str, str], heal: Mapping[str, str]) -> None:
        self.name = name
        self._answer = answer
        self._inject = inject
        self._heal = heal

    async def inject(self, target: Target) -> str:
        """Configure it so; the proof is the answer to a write of our own."""
        client = target.redis()
        try:
            await self._configure(client, self._inject)
            try:
                await client.set(_MARKER, "refused?")
            except ResponseError as error:
                said = f"{getattr(error, 'status_code', None) or ''} {error}".strip()
                if self._answer not in said and self._answer.lower() not in type(error).__name__.lower():
                    raise UnprovenError(f"expected {self._answer}, found {error!r}") from None
                return f"a write was answered: {type(error).__name__} {said}"[:120]
        finally:
            await client.aclose()
        raise UnprovenError(f"a write was taken where {self._answer} was expected")

    async def heal(self, target: Target) -> None:
        """Configure it back."""
        client = target.redis()
        try:
            await self._configure(client, self._heal)
        finally:
            await client.aclose()

    async def _configure(self, client: Redis, settings: Mapping[str, str]) -> None:
        for name, value in settings.items():
            if name == "replicaof":
                await cast(Any, client).execute_command("REPLICAOF", *value.split())
            else:
                await client.config_set(name, value)


def refusing() -> list[Fault]:
    """Return the ways of taking no writes."""
    return [
        Refusing("redis out of memory", "OOM", {"maxmemory": "1"}, {"maxmemory": "0"}),
        Refusing("redis read-only", "READONLY", {"replicaof": "127.0.0.1 1"}, {"replicaof": "NO ONE"}),
        Refusing(
            "redis without replicas", "NOREPLICAS", {"min-replicas-to-write": "1"}, {"min-replicas-to-write": "0"}
        ),
    ]
