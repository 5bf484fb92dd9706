"""The lease on replaying: one replay at a time builds the generation after the live one.

It keeps replays apart and tells a dead one from one at work; what makes a mistake harmless is each shard's nonce.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from adapters.redis import Client, Script, end_tasks, patiently
from schemas.errors import NotReadyError
from schemas.keys import REPLAY

LEASE_S: Final = 15.0
"""So long a replay that was killed, or stands still, keeps others away."""
_RENEW_S: Final = 3.0
_RETRY_S: Final = 0.5
_LEASE: Final = Script(Path(__file__).with_name("lease.lua"))


async def holder(client: Client) -> str:
    """Return the replay that is at work, or was until a moment ago; empty if there is none."""
    held: Any = await client.get(REPLAY)
    return held.decode() if held else ""


async def _take(client: Client, replay: str) -> None:
    """Take the lease; wait for that of a replay that was killed to end, and not for one that is renewed."""
    deadline = time.monotonic() + LEASE_S + _RETRY_S
    while not await client.set(REPLAY, replay, nx=True, px=int(LEASE_S * 1_000)):
        if time.monotonic() > deadline:
            raise NotReadyError("another replay is at work on this system: repeat this one when that has ended")
        await asyncio.sleep(_RETRY_S)


async def _renew(client: Client, replay: str) -> None:
    is_held = True
    while is_held:
        await asyncio.sleep(_RENEW_S)
        is_held = bool(await patiently(lambda: _LEASE.run(client, [REPLAY], [replay, int(LEASE_S * 1_000)])))


@asynccontextmanager
async def replaying(client: Client) -> AsyncIterator[str]:
    """Hold the lease; yield the replay's name. NotReadyError if another one keeps it."""
    replay = secrets.token_hex(8)
    await _take(client, replay)
    renewing = asyncio.create_task(_renew(client, replay), name="lease")
    try:
        yield replay
    finally:
        await end_tasks([renewing])
        await _LEASE.run(client, [REPLAY], [replay, 0])
