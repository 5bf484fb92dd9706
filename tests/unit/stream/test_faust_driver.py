"""What is patched into Faust's driver: a message is handed on at once, unless something holds the flow up."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from mode.services import Service
from mode.utils.queues import FlowControlEvent

from stream.faust_driver import _wait_first


class Consumer(Service):  # type: ignore[misc]  # no type information is published
    """As much of Faust's consumer as decides whether a message can be handed on."""

    def __init__(self) -> None:
        super().__init__()
        self.suspend_flow = asyncio.Event()
        self.queue: asyncio.Queue[int] = asyncio.Queue(maxsize=1)
        self.flow_control = FlowControlEvent(initially_suspended=False)
        self.app = SimpleNamespace(topics=[SimpleNamespace(queue=self.queue)], flow_control=self.flow_control)


async def handed_on_in(consumer: Any) -> "asyncio.Task[Any] | None":
    """Hand a message on as Faust does; return the task that it was done in."""
    tasks: list[asyncio.Task[Any] | None] = []

    async def hand_on() -> None:
        tasks.append(asyncio.current_task())

    await _wait_first(consumer, hand_on(), consumer.suspend_flow.wait())
    return tasks[0]


async def test_a_message_that_nothing_holds_up_is_handed_on_without_a_task() -> None:
    assert await handed_on_in(Consumer()) is asyncio.current_task()


@pytest.mark.parametrize("held_up_by", ["rebalance", "flow", "queue"])
async def test_what_is_held_up_is_given_up_when_the_flow_is_stopped(held_up_by: str) -> None:
    consumer = Consumer()
    if held_up_by == "rebalance":
        consumer.suspend_flow.set()
    elif held_up_by == "flow":
        consumer.flow_control.suspend()
    else:
        consumer.queue.put_nowait(1)

    async def for_ever() -> None:
        await asyncio.Event().wait()

    waiting = asyncio.ensure_future(_wait_first(consumer, for_ever(), consumer.suspend_flow.wait()))
    await asyncio.sleep(0)
    consumer.suspend_flow.set()
    await asyncio.wait_for(waiting, 60)
