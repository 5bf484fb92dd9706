"""Waiting for what comes by itself."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

PATIENCE_S: Final = 90.0
"""How long a test waits for what must come by itself; reached on failure only."""


async def until(holds: Callable[[], Awaitable[bool]], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait until `holds()`, or fail saying what was waited for."""
    deadline = time.monotonic() + patience_s
    while not await holds():
        assert time.monotonic() < deadline, f"waited {patience_s:.0f} s in vain: {what}"
        await asyncio.sleep(0.01)
