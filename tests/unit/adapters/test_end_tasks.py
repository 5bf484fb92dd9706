"""Ending tasks that overhear a cancellation, as those do that await the Redis client."""

import asyncio

from adapters.redis import end_tasks


async def overhear(times: int) -> int:
    """Run until cancelled once more than so many times."""
    for overheard in range(times):
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            continue
        return overheard
    await asyncio.sleep(60)
    return times


async def test_tasks_are_cancelled_until_they_have_ended() -> None:
    tasks = [asyncio.create_task(overhear(times)) for times in (0, 1, 3)]
    await asyncio.sleep(0.01)
    await asyncio.wait_for(end_tasks(tasks), 10)
    assert all(task.cancelled() for task in tasks)


async def test_what_has_ended_is_left_alone() -> None:
    task = asyncio.create_task(asyncio.sleep(0, 5))
    assert await task == 5
    await end_tasks([task])
    assert task.result() == 5
