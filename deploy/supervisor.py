"""Starting children in order, waiting until they are ready, restarting what dies, stopping in reverse order."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Final, Self

from deploy.keeper import Child, Keeper, run_once
from deploy.log_lines import LogLines

STOP_S: Final = 14.0
"""All children are gone within this time, whatever they do."""


def _ignore() -> None:
    """Do nothing when a child's process id changes."""


class Supervisor:
    """Children by stages: each `start` call is a stage, its children start together and stop together.

    `on_change` is called whenever a child has a new process id. Leaving the context stops the newest stage first.
    """

    def __init__(self, log: LogLines, on_change: Callable[[], None] = _ignore) -> None:
        self._log = log
        self._on_change = on_change
        self._stages: list[list[Keeper]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name of the children that run now."""
        keepers = (keeper for stage in self._stages for keeper in stage)
        return {keeper.child.name: keeper.pid for keeper in keepers if keeper.pid is not None}

    async def start(self, *children: Child) -> None:
        """Start a stage and wait until all of it is ready.

        Raises NotReadyError if a child keeps dying before it is ready for the first time, or never gets there.
        """
        stage = [Keeper(child, self._log, self._on_change) for child in children]
        self._stages.append(stage)
        await asyncio.gather(*(keeper.start() for keeper in stage))

    async def run_once(self, name: str, command: Sequence[str], **environment: str) -> int:
        """Run a command to its end and return its exit status; it dies with this call."""
        return await run_once(Child(name, tuple(command), environment=environment), self._log)

    async def stop(self) -> None:
        """Stop every stage, newest first; who is still there at the deadline is killed."""
        try:
            async with asyncio.timeout(STOP_S):
                for stage in reversed(self._stages):
                    await asyncio.gather(*(keeper.stop() for keeper in stage))
        except TimeoutError:
            self._log.say("up", "stopping took too long: killing what is left")
        finally:
            async with AsyncExitStack() as last:
                for stage in self._stages:
                    for keeper in stage:
                        last.push_async_callback(keeper.kill)
