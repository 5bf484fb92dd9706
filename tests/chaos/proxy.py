"""A TCP proxy that can be slow, cut, and swallow everything: what lies between a worker and its servers."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Self

from deploy.ports import LOOPBACK

_CHUNK: Final = 65_536
_LENGTH_BYTES: Final = 4

Reading = Callable[[asyncio.StreamReader], Coroutine[Any, Any, bytes]]


@dataclass
class Mood:
    """How the proxy treats what passes. `swallows`: takes everything, hands on nothing (a half-open connection)."""

    delay_s: float = 0.0
    swallows: bool = False
    refuses: bool = False


async def any_bytes(reader: asyncio.StreamReader) -> bytes:
    """Return what is there."""
    return await reader.read(_CHUNK)


def kafka_answers(broker_port: int, proxy_port: int) -> Reading:
    """Return how a broker's answers are read: one at a time, with the proxy's port where it names its own.

    Clients connect to the address that the broker tells them, so without this they would go past the proxy.
    """
    told = LOOPBACK.encode() + broker_port.to_bytes(4, "big")
    wanted = LOOPBACK.encode() + proxy_port.to_bytes(4, "big")

    async def read(reader: asyncio.StreamReader) -> bytes:
        try:
            head = await reader.readexactly(_LENGTH_BYTES)
            return head + (await reader.readexactly(int.from_bytes(head, "big"))).replace(told, wanted)
        except asyncio.IncompleteReadError:
            return b""

    return read


class Proxy:
    """Listens on a port of its own and hands on to another, in its present mood."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._server: asyncio.Server
        self._open: set[asyncio.StreamWriter] = set()
        self._answers: Reading = any_bytes
        self.mood = Mood()
        self.delayed = self.swallowed = self.cut = self.passed = 0
        """Pieces delayed and swallowed, connections cut, bytes handed on."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut_all()
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.sockets[0].getsockname()[1])

    def speaks_kafka(self) -> Self:
        """Put this proxy's address into a broker's answers."""
        self._answers = kafka_answers(self._target, self.port)
        return self

    def cut_all(self) -> int:
        """Cut every connection; return how many there were."""
        number = len(self._open) // 2
        for writer in list(self._open):
            writer.transport.abort()
        self.cut += number
        return number

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mood.refuses:
            writer.transport.abort()
            return
        try:
            server_reader, server_writer = await asyncio.open_connection(LOOPBACK, self._target)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, server_writer}
        self._open |= both
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pipe(any_bytes, reader, server_writer))
                tasks.create_task(self._pipe(self._answers, server_reader, writer))
        finally:
            self._open -= both
            for one in both:
                one.transport.abort()

    async def _pipe(self, read: Reading, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await read(reader):
                if self.mood.delay_s:
                    self.delayed += 1
                    await asyncio.sleep(self.mood.delay_s)
                if self.mood.swallows:
                    self.swallowed += 1
                    continue
                self.passed += len(data)
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
