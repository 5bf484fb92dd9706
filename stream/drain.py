"""Batches of events out of a Faust stream: all that has come, as soon as anything has.

Faust's own `noack_take` looks every few milliseconds whether there is anything, with two tasks and a timer each time,
and sends each event through the stream's processors. Here an agent waits for its channel alone and then takes what
lies there. `FAST_DRAIN=false` goes back to Faust's own.
"""

from collections.abc import AsyncIterator
from typing import Any, Final

import faust

BATCH: Final = 1_000
WITHIN_S: Final = 0.005


def by_faust(stream: Any) -> AsyncIterator[list[Any]]:
    """Return batches of events, to be acked by who takes them, as Faust gathers them."""
    batches: AsyncIterator[list[Any]] = stream.noack_take(BATCH, within=WITHIN_S)
    return batches


async def at_once(app: faust.App, stream: Any) -> AsyncIterator[list[Any]]:
    """Return batches of events, to be acked by who takes them, without any wait; until the application stops."""
    channel = aiter(stream.channel)
    async for event in channel:
        events = [event]
        while len(events) < BATCH and not channel.queue.empty():
            events.append(channel.queue.get_nowait())
        if taken := [event for event in events if _is_current(app, event)]:
            yield taken


def _is_current(app: faust.App, event: Any) -> bool:
    """Whether an event is of the present assignment, as Faust's stream sees to; such a one is noted as not acked."""
    message = event.message
    if not app.flow_control.is_active() or message.generation_id != app.consumer_generation_id:
        return False
    if not message.tracked:
        message.tracked = True
        app.consumer._unacked_messages.add(message)
    return True
