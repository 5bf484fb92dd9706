"""A further worker, started by hand; what lies between it and its servers is ours."""

import asyncio
import subprocess
import sys
from contextlib import AsyncExitStack
from typing import Final, Self

from tests.chaos.proxy import Mood, Proxy
from tests.chaos.stack import Stack, spawn

NAME: Final = "worker-extra"
_END_S: Final = 60.0


class ExtraWorker:
    """`python -m stream` under a name of its own, behind a proxy before Redis and one before Kafka."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._proxies = AsyncExitStack()
        self._process: subprocess.Popen[bytes] | None = None
        self.redis: Proxy
        self.kafka: Proxy

    async def __aenter__(self) -> Self:
        connections = self._stack.connections
        ports = [int(address.removesuffix("/0").rpartition(":")[2]) for address in
                 (connections.redis_url, connections.kafka_bootstrap_servers)]  # fmt: skip
        self.redis, self.kafka = [await self._proxies.enter_async_context(Proxy(port)) for port in ports]
        self.kafka.speaks_kafka()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.calm()
        if self._process and self._process.poll() is None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)
        await self._proxies.aclose()

    @property
    def runs(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> int:
        """Start it unless it runs; return its process id."""
        if self._process is None or self._process.poll() is not None:
            environment = {
                "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{self.kafka.port}",
                "REDIS_URL": f"redis://127.0.0.1:{self.redis.port}/0",
                "BUNDLE_URL": self._stack.connections.bundle_url,
                "BUNDLE_CACHE": str(self._stack.connections.bundle_cache),
                "WORKER_ID": NAME,
                **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
            }
            command = (sys.executable, "-P", "-m", "stream")
            self._process = spawn(command, self._stack.folder / "extra.log", environment)
        return self._process.pid

    async def stop(self) -> int:
        """Tell it to stop; return its exit status."""
        if self._process is None:
            return -1
        self._process.terminate()
        return await asyncio.to_thread(self._process.wait, _END_S)

    def calm(self) -> None:
        """Let everything pass."""
        self.redis.mood, self.kafka.mood = Mood(), Mood()
