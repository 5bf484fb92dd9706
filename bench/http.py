"""A client so thin that it does not take what it measures: kept-alive HTTP/1.1 connections, JSON in and out."""

import asyncio
import json
from typing import Any, Self


class RefusedError(Exception):
    """The answer is none of the 2xx; says which request it was, and the answer."""


class Connection:
    """One kept-alive connection; one request at a time. Opened anew where the server has closed it, being idle."""

    def __init__(self, address: tuple[str, int], token: str) -> None:
        self._address = address
        self._headers = f"Host: bench\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def open(self) -> Self:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection(*self._address)
        return self

    async def ask(self, method: str, path: str, body: bytes = b"") -> Any:
        """Send one request; return the answer's JSON. Raises RefusedError."""
        if self._reader.at_eof():
            self._writer.close()
            await self.open()
        head = f"{method} {path} HTTP/1.1\r\n{self._headers}Content-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(answer.partition("content-length:")[2].partition("\r\n")[0])
        content = await self._reader.readexactly(length)
        if answer.split()[1][0] != "2":
            raise RefusedError(f"{method} {path} answered {answer.split()[1]}: {content!r}")
        return json.loads(content)


Pool = asyncio.LifoQueue[Connection]
"""The connection used last comes first: no more are busy than are needed."""


async def open_connection(api_url: str, token: str) -> Connection:
    """Open one."""
    host, _, port = api_url.removeprefix("http://").partition(":")
    return await Connection((host, int(port)), token).open()


async def connections(api_url: str, token: str, number: int) -> Pool:
    """Open so many connections."""
    pool = Pool()
    for _ in range(number):
        pool.put_nowait(await open_connection(api_url, token))
    return pool
