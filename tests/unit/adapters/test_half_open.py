"""A connection that is open at this end alone: nothing is answered on it, and nobody says so."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import pytest

from adapters import redis
from adapters.redis import connect, patiently
from deploy.ports import LOOPBACK
from schemas.settings import Connections
from tests.servers import RedisServer

TIMEOUT_S: Final = 0.5


class Wire:
    """A proxy to the server whose present connections can be cut without either end being told."""

    def __init__(self, server: RedisServer) -> None:
        self._host, self._port = server.redis_url.split("/")[2].split(":")
        self._cut = asyncio.Event()
        self.opened = 0

    def cut(self) -> None:
        """Carry nothing any more on what is open now."""
        self._cut.set()
        self._cut = asyncio.Event()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        self.opened += 1
        cut = self._cut
        back, forth = await asyncio.open_connection(self._host, self._port)
        await asyncio.gather(self._pump(reader, forth, cut), self._pump(back, writer, cut))

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, cut: asyncio.Event) -> None:
        while chunk := await source.read(65_536):
            if not cut.is_set():
                target.write(chunk)
        target.close()


@asynccontextmanager
async def wired(server: RedisServer) -> AsyncIterator[tuple[Wire, str]]:
    """Run a proxy; yield it and its address."""
    wire = Wire(server)
    listening = await asyncio.start_server(wire.carry, LOOPBACK)
    async with listening:
        yield wire, f"redis://{LOOPBACK}:{listening.sockets[0].getsockname()[1]}/0"


async def test_a_call_on_a_dead_connection_is_made_again_on_another(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis, "TIMEOUT_S", TIMEOUT_S)
    async with wired(redis_server) as (wire, url):
        client = connect(Connections(redis_url=url))
        await client.set("half", "open")
        assert wire.opened == 1
        wire.cut()
        async with asyncio.timeout(60):
            assert await patiently(lambda: client.get("half")) == b"open"
        assert wire.opened > 1
        await client.aclose()
