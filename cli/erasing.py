"""An erasure followed place by place until it is done, each with how that is known."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple

import msgspec
from redis.exceptions import RedisError

from adapters.redis import is_passing
from cli.progress import Meter

_PAUSE_S: Final = 0.1

State = Literal["done", "kept", "pending", "open"]
"""`kept` by design, `pending` because nobody wants to wait for it, `open`: not seen to be done."""


class Seen(NamedTuple):
    """What a look at a place found, and how that is known; `settled`: it is open, and waiting will not change that."""

    state: State
    proof: str
    settled: bool = False


Look = Callable[[], Awaitable[Seen]]
"""Looks once."""


class Place(msgspec.Struct, frozen=True):
    """Where something of a learner may be, whether it is gone, since when, and how that is known."""

    place: str
    state: State
    at: str
    proof: str


def iso(moment_us: float) -> str:
    """Return microseconds since 1970 as ISO 8601, UTC, to the millisecond.

    >>> iso(1_500_000)
    '1970-01-01T00:00:01.500+00:00'
    """
    return datetime.fromtimestamp(moment_us / 1e6, UTC).isoformat(timespec="milliseconds")


async def _once(look: Look) -> Seen:
    """Look; a Redis that is away for now is one more reason to wait."""
    try:
        return await look()
    except RedisError as error:
        if not is_passing(error):
            raise
        return Seen("open", f"Redis does not answer ({str(error) or type(error).__name__}): erased once it does")


async def wait_for(look: Look, deadline: float) -> Seen:
    """Look again and again until the place is done, waiting is in vain, or the loop's clock stands at `deadline`."""
    seen = Seen("open", "the time to wait was over before this was looked at")
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout_at(deadline):
            while seen.state == "open" and not seen.settled:
                seen = await _once(look)
                await asyncio.sleep(0 if seen.state != "open" else _PAUSE_S)
    return seen


class Follower:
    """Goes from place to place, until one deadline for all of them."""

    def __init__(self, wait_s: float, progress: Meter) -> None:
        self._deadline = asyncio.get_running_loop().time() + wait_s
        self._progress = progress
        self.places: list[Place] = []

    def note(self, place: str, state: State, proof: str) -> None:
        """Add what needs no look."""
        self.places.append(Place(place, state, iso(datetime.now(UTC).timestamp() * 1e6), proof))

    async def follow(self, look: Look, *names: str) -> None:
        """Wait until these places are done, and add what was seen."""
        self._progress.reach(len(self.places), what=f"erasing, {names[0]}")
        seen = await wait_for(look, self._deadline)
        for name in names:
            self.note(name, seen.state, seen.proof)
