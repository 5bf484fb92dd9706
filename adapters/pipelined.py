"""A pipelined connection to Redis: what is asked within one turn of the event loop is written at once.

Own code, since an awaited command of the library costs 60 to 70 us, more than a whole look-up by the fast lane. One
connection; the answers come in the order of the commands. Its users need no patience: while it is not there, or as soon
as it is lost, they go the ordinary way.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from ssl import SSLContext
from typing import Any, Final, cast

import hiredis
from redis.asyncio import Redis, SSLConnection, UnixDomainSocketConnection

logger: Final = logging.getLogger(__name__)

MOST_IN_FLIGHT: Final = 2_000
"""Commands that wait for their answers; who comes beyond goes the ordinary way."""

_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0
_CHECKS_A_TIMEOUT: Final = 4


Answered = Callable[[Any], None]
"""Takes the answer to a command, once: what the server said, or ConnectionLostError or TimeoutError."""


class ConnectionLostError(ConnectionError):
    """The connection was lost before the answer came."""


def _give(answered: Answered, answer: Any) -> None:
    """Give an answer; who cannot take it must not cost the others theirs."""
    try:
        answered(answer)
    except Exception:
        logger.exception("an answer of Redis could not be taken")


def _settle(waiting: "asyncio.Future[Any]", answer: Any) -> None:
    """Give an answer to who awaits it; what the server refuses is an answer, too."""
    if waiting.done():
        return
    if isinstance(answer, (ConnectionLostError, TimeoutError)):
        waiting.set_exception(answer)
    else:
        waiting.set_result(answer)


class Wire(asyncio.Protocol):
    """One connection: commands out in batches, answers in their order."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._incomplete = object()
        self._reader = hiredis.Reader(notEnoughData=self._incomplete)
        self._waiting: deque[tuple[Answered, float]] = deque()
        self._unsent: list[bytes] = []
        self._transport: asyncio.Transport
        self.lost: asyncio.Future[None] = loop.create_future()

    @property
    def in_flight(self) -> int:
        """How many commands wait for their answers."""
        return len(self._waiting)

    def send(self, command: bytes, answered: Answered) -> None:
        """Send a packed command at the end of this turn of the loop; an error that is answered is an answer."""
        self._waiting.append((answered, self._loop.time()))
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(command)

    def ask(self, command: bytes) -> "asyncio.Future[Any]":
        """Send a packed command; an error that is answered is the result."""
        answer = self._loop.create_future()
        self.send(command, partial(_settle, answer))
        return answer

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []  # first: what fails to be written must not keep later commands back
        if not self._transport.is_closing():
            self._transport.write(b"".join(unsent))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport; uvloop's is no `asyncio.Transport` by name."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Give the answers that are whole to who waits for them; what is no answer ends the connection."""
        self._reader.feed(data)
        while True:
            try:
                answer = self._reader.gets()
                if answer is self._incomplete:
                    return
                answered, _ = self._waiting.popleft()
            except (hiredis.ProtocolError, IndexError) as error:  # IndexError: nobody had asked
                logger.warning("Redis answered what is no answer: %r", error)
                self.end(ConnectionLostError("what Redis answered cannot be read"))
                return
            _give(answered, answer)

    def connection_lost(self, _error: Exception | None) -> None:
        """Tell all who wait."""
        self.end(ConnectionLostError("the connection to Redis was lost"))

    def is_overdue(self, timeout_s: float) -> bool:
        """Whether a command has waited for so long."""
        return bool(self._waiting) and self._loop.time() - self._waiting[0][1] >= timeout_s

    def end(self, error: Exception) -> None:
        """Close the connection; who waits gets the error."""
        self._transport.abort()
        while self._waiting:
            answered, _ = self._waiting.popleft()
            _give(answered, error)
        if not self.lost.done():
            self.lost.set_result(None)


async def _open(server: Any) -> Wire:
    """Connect to a server, over TLS or a socket in the file system where its address says so."""
    loop = asyncio.get_running_loop()
    if isinstance(server, UnixDomainSocketConnection):
        _, wire = await loop.create_unix_connection(lambda: Wire(loop), server.path)
        return wire
    context: SSLContext | None = server.ssl_context.get() if isinstance(server, SSLConnection) else None
    _, wire = await loop.create_connection(lambda: Wire(loop), server.host, int(server.port), ssl=context)
    return wire


def packed(*words: str | bytes | int) -> bytes:
    """Return a command as it is sent."""
    command: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # a tuple of any length, whatever it says
    return command


def _greeting(server: Any) -> list[bytes]:
    """Return what is said first: who we are, which database, and whether anybody is there."""
    names = [name for name in (server.username, server.password) if name]
    first = [packed("AUTH", *names)] if server.password else []
    return [*first, *([packed("SELECT", server.db)] if server.db else []), _PING]


class PipelinedConnection:
    """A connection that is made anew, for as long as `run` runs, whenever it is lost or an answer is overdue."""

    def __init__(self, client: Redis, timeout_s: float) -> None:
        pool: Any = client.connection_pool
        self._server = pool.make_connection()  # it describes the server, and never connects
        self._timeout_s = timeout_s
        self._wire: Wire | None = None

    @property
    def is_open(self) -> bool:
        """Whether a command may be asked now."""
        return self._wire is not None and self._wire.in_flight < MOST_IN_FLIGHT

    def ask(self, command: bytes) -> "asyncio.Future[Any]":
        """Return the answer to come, which may be an error of the server.

        Raises ConnectionLostError now or then, TimeoutError then.
        """
        return self._connection().ask(command)

    def send(self, command: bytes, answered: Answered) -> None:
        """Let the answer be taken as soon as it comes, without a future. Raises ConnectionLostError now."""
        self._connection().send(command, answered)

    def _connection(self) -> Wire:
        if self._wire is None:
            raise ConnectionLostError("there is no connection to Redis")
        return self._wire

    async def run(self) -> None:
        """Keep the connection, for ever."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                wire = await self._connected()
            except (OSError, TimeoutError, hiredis.HiredisError) as error:
                level = logging.WARNING if pause_s == _FIRST_PAUSE_S else logging.DEBUG
                logger.log(level, "the pipelined connection cannot reach Redis: %r", error)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                await self._serve(wire)
                pause_s = _FIRST_PAUSE_S
            await asyncio.sleep(pause_s)

    async def _connected(self) -> Wire:
        """Connect and say who we are. Raises OSError, TimeoutError, or HiredisError where the server refuses."""
        async with asyncio.timeout(self._timeout_s):
            wire = await _open(self._server)
            try:
                for command in _greeting(self._server):
                    answer = await wire.ask(command)
                    if isinstance(answer, hiredis.HiredisError):
                        raise answer
            except BaseException:
                wire.end(ConnectionLostError("the server does not take us"))
                raise
        return wire

    async def _serve(self, wire: Wire) -> None:
        """Let the connection be used until it is lost; an idle one is asked whether it is still there."""
        self._wire = wire
        try:
            while not wire.lost.done():
                if not wire.in_flight:
                    wire.send(_PING, _ignore)
                await asyncio.wait({wire.lost}, timeout=self._timeout_s / _CHECKS_A_TIMEOUT)
                if wire.is_overdue(self._timeout_s):
                    wire.end(TimeoutError("Redis does not answer in time"))
        finally:
            self._wire = None
            wire.end(ConnectionLostError("the process ends"))
        logger.warning("the pipelined connection has lost Redis")


_PING: Final = packed("PING")


def _ignore(_answer: Any) -> None:
    """Take an answer that nobody waits for."""
