"""A client so thin that it does not take what it measures: kept-alive HTTP/1.1 connections, JSON in and out."""

import asyncio
import json
from typing import Any


class RefusedError(Exception):
    """The answer is none of the 2xx; says which request it was, and the answer."""


class Connection:
    """One kept-alive connection; one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str) -> None:
        self._reader = reader
        self._writer = writer
        self._headers = f"Host: bench\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"

    async def ask(self, method: str, path: str, body: bytes = b"") -> Any:
        """Send one request; return the answer's JSON. Raises RefusedError."""
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


async def connections(api_url: str, token: str, number: int) -> Pool:
    """Open so many connections."""
    pool, address = Pool(), api_url.removeprefix("http://").split(":")
    for _ in range(number):
        pool.put_nowait(Connection(*await asyncio.open_connection(*address), token))
    return pool
