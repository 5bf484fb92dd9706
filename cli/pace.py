"""Keeping a rate: who has spent ahead of time waits."""

import asyncio
from typing import Final

_MAX_DEBT_S: Final = 0.2
"""What could not be spent is made up for within this time, and no longer."""


class Pace:
    """About `rate` units a second, over all who take turns."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._free_at_s = 0.0

    async def turn(self) -> None:
        """Wait for one's turn, which spends one unit."""
        clock = asyncio.get_running_loop().time
        own_s = max(self._free_at_s, clock() - _MAX_DEBT_S)
        self._free_at_s = own_s + 1.0 / self._rate
        await asyncio.sleep(max(own_s - clock(), 0.0))

    def spend(self, units: int) -> None:
        """Say that `units` more are being spent."""
        self._free_at_s += units / self._rate
