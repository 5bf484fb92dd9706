"""Kafka and Redis alone, with the topics created: for tests and scripts."""

import asyncio
import threading
from concurrent.futures import Future
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from adapters.topics import ensure_topics
from deploy.backends import EMBEDDED, start_backends
from deploy.lock import locked
from deploy.log_lines import LogLines
from deploy.supervisor import Supervisor


class EmbeddedStack:
    """A running Kafka and Redis over one state directory. Made by `embedded`."""

    def __init__(self, state_dir: Path, partitions: int, nodes: int) -> None:
        self.state_dir = state_dir
        self.partitions = partitions
        self.nodes = nodes
        self.bootstrap_servers = ""
        self.redis_url = ""
        self._supervisor: Supervisor
        self._stack = AsyncExitStack()
        self._loop: asyncio.AbstractEventLoop
        self._leave: asyncio.Event
        self._thread: threading.Thread

    @property
    def pids(self) -> dict[str, int]:
        """Process ids of `kafka` and `redis`, or `kafka-1`, `redis-1` ...; one that dies comes back under another."""
        return self._supervisor.pids

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            lock = stack.enter_context(locked(self.state_dir))
            log = stack.enter_context(LogLines())
            self._supervisor = await stack.enter_async_context(Supervisor(log))
            backends = await start_backends(self._supervisor, self.state_dir, lock, EMBEDDED, self.nodes)
            await ensure_topics(backends.bootstrap_servers, self.partitions, backends.copies)
            self.bootstrap_servers, self.redis_url = backends.bootstrap_servers, backends.redis_url
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def __enter__(self) -> Self:
        started: Future[None] = Future()

        def serve() -> None:
            asyncio.run(self._serve(started))

        self._thread = threading.Thread(target=serve, name="embedded", daemon=True)
        self._thread.start()
        started.result()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._leave.set)
        self._thread.join()

    async def _serve(self, started: "Future[None]") -> None:
        """Run the stack in this thread until it is left; the children die with the thread that started them."""
        self._loop, self._leave = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with self:
                started.set_result(None)
                await self._leave.wait()
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)


def embedded(state_dir: Path, partitions: int = 16, nodes: int = 1) -> EmbeddedStack:
    """Start a real Kafka and Redis over a state directory, to be used by `with` or `async with`.

    Of several nodes the Redis is a cluster.
    """
    return EmbeddedStack(state_dir, partitions, nodes)
