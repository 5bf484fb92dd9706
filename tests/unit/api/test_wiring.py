"""The background work of an API."""

import asyncio

from api.wiring import _running


async def _loses_a_cancellation() -> None:
    """Go on after a cancellation, as `asyncio.wait_for` of Python 3.11 may: the Redis client awaits writes in it."""
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await asyncio.sleep(60)


async def test_work_that_loses_a_cancellation_is_ended() -> None:
    async with asyncio.timeout(10):
        async with _running(stubborn=_loses_a_cancellation()) as tasks:
            await asyncio.sleep(0)
    assert tasks["stubborn"].cancelled()
