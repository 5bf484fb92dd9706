"""Connecting to Redis, a single server or a cluster, and running Lua there."""

import asyncio
import contextlib
import hashlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from hiredis import HiredisError
from redis._parsers.base import BaseParser
from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.connection import HiredisRespSerializer
from redis.exceptions import (
    AuthenticationError,
    DataError,
    NoScriptError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from adapters.pipelined import ConnectionLostError, PipelinedConnection, packed
from adapters.redis_cluster import MAX_CONNECTIONS, Cluster
from schemas.errors import ConfigurationError
from schemas.settings import Connections

logger: Final = logging.getLogger(__name__)

T = TypeVar("T")

TIMEOUT_S: Final = 5.0
MOST_CONNECTIONS: Final = 64
"""Of one process: a command beyond waits for its turn, where the client's own pool would fail."""

_PASSING: Final = (
    "BUSY",
    "OOM",
    "MISCONF",
    "LOADING",
    "READONLY",
    "MASTERDOWN",
    "NOREPLICAS",
    "CLUSTERDOWN",
    "TRYAGAIN",
)
_WRONG_TYPE: Final = "WRONGTYPE"


def _pack_command(_: AbstractConnection, *args: Any) -> list[bytes]:
    """Stand in for the client's method of this name, which packs in Python and copies what it has at each argument.

    Its synchronous twin packs by hiredis: of a merge of a thousand records in .4 of the time.
    """
    packed: list[bytes] = _serializer.pack(*args)
    return packed


_serializer: Final = HiredisRespSerializer()
AbstractConnection.pack_command = _pack_command  # type: ignore[assignment]  # answers bytes alone, where the client may str


class Server(Redis):
    """A client of one server, whose scripts and `ask_all` go by a pipelined connection as long as there is one."""

    pipelined: PipelinedConnection | None = None

    def pipeline_commands(self) -> Coroutine[Any, Any, None]:
        """Return the work that keeps such a connection, for as long as it runs."""
        self.pipelined = PipelinedConnection(self, TIMEOUT_S)
        return self.pipelined.run()


Client = Server | RedisCluster


def _pipelined(client: Client) -> PipelinedConnection | None:
    """Return the connection that commands may be asked by now."""
    own = client.pipelined if isinstance(client, Server) else None
    return own if own and own.is_open else None


def connect(connections: Connections) -> Client:
    """Return a client; it connects at its first command. All our commands are safe to repeat, so it retries."""
    retry = Retry(ExponentialBackoff(cap=0.5, base=0.02), 3)
    settings: dict[str, Any] = {"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S, "retry": retry}
    if connections.redis_cluster:
        return Cluster.from_url(connections.redis_url, max_connections=MAX_CONNECTIONS, **settings)
    settings["retry_on_error"] = [RedisConnectionError, RedisTimeoutError]
    settings |= {"max_connections": MOST_CONNECTIONS, "timeout": TIMEOUT_S}
    return cast(Server, Server.from_pool(BlockingConnectionPool.from_url(connections.redis_url, **settings)))


def server_of(client: Client, key: str) -> str:
    """Return the name of the server that holds a key: what stands on one can be asked for in one pipeline.

    While none is known to hold it, or not yet, the key stands alone.
    """
    if not isinstance(client, RedisCluster):
        return ""
    with contextlib.suppress(RedisClusterException):
        if node := client.get_node_from_key(key):
            return node.name
    return key


async def check_eviction(client: Client) -> None:
    """Raise ConfigurationError if the server may evict state when its memory is full."""
    answer = await client.info("memory")
    nodes = answer.values() if "maxmemory_policy" not in answer else [answer]
    for node in nodes:
        policy = node["maxmemory_policy"]
        if policy != "noeviction":
            raise ConfigurationError(
                f"Redis has maxmemory-policy {policy}, which drops learners' histories when memory is full; "
                "set it to noeviction"
            )


def is_passing(error: RedisError) -> bool:
    """Whether an error says that the server is away, full or read-only for now, and nothing of the call itself."""
    if isinstance(error, DataError | AuthenticationError):
        return False
    return not isinstance(error, ResponseError) or (error.status_code or str(error)).startswith(_PASSING)


async def patiently(call: Callable[[], Awaitable[T]], for_s: float | None = None) -> T:
    """Await `call()` until Redis answers; raise what repeating can't mend.

    After `for_s` RedisTimeoutError, also amid a call: one to a server that hangs takes several times TIMEOUT_S.
    """
    delay_s = 0.05
    try:
        async with asyncio.timeout(for_s) as limit:
            while True:
                try:
                    return await call()
                except RedisError as error:
                    if not is_passing(error):
                        raise
                    if limit.expired():  # and the client has lost the cancellation, see `end_tasks`
                        raise TimeoutError from None
                    logger.warning("Redis is unavailable: %s; trying again in %.2f s", error, delay_s)
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, 1.0)
    except TimeoutError:
        raise RedisTimeoutError(f"no answer of Redis within {for_s} s") from None


async def end_tasks(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they have ended.

    Once may not be enough: until Python 3.12 `asyncio.wait_for`, which the Redis client awaits each write in, loses a
    cancellation that comes as the write ends.
    """
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=0.1)


def _checked(answer: Any, of_any_type: bool = False) -> Any:
    """Return an answer; raise as the library does what the server has against the command.

    `of_any_type`: not that the key is of another type.
    """
    if isinstance(answer, HiredisError):
        answer = BaseParser.parse_error(str(answer))  # type: ignore[no-untyped-call]  # not annotated there
    if isinstance(answer, RedisError) and not (of_any_type and str(answer).startswith(_WRONG_TYPE)):
        raise answer
    return answer


def pairs_of(answer: Any) -> list[tuple[bytes, Any]]:
    """Return the pairs of a hash, or of members and scores, in any form that a server or the library gives them.

    >>> pairs_of([b"a", b"1"]) == pairs_of({b"a": b"1"}) == pairs_of([[b"a", b"1"]]) == [(b"a", b"1")]
    True
    """
    if isinstance(answer, dict):
        return list(answer.items())
    if answer and isinstance(answer[0], list | tuple):
        return [tuple(pair) for pair in answer]
    return list(zip(answer[::2], answer[1::2], strict=True))


Command = tuple[str | bytes | int, ...]


async def ask_all(client: Client, commands: Sequence[Command], of_any_type: bool = False) -> list[Any]:
    """Return what a server says to all these commands, hashes and scores as `pairs_of` reads them.

    Raises RedisError for the first that it refuses; `of_any_type`: where a key is of another type than the command's,
    the error is the answer.
    """
    if connection := _pipelined(client):
        with contextlib.suppress(ConnectionLostError, TimeoutError):
            answers = await asyncio.gather(*[connection.ask(packed(*command)) for command in commands])
            return [_checked(answer, of_any_type) for answer in answers]
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    answers = await pipeline.execute(raise_on_error=not of_any_type)
    return [_checked(answer, of_any_type) for answer in answers]


Call = tuple[Sequence[str], Sequence[str | bytes | int]]
"""Keys and arguments of a script."""


class Script:
    """A Lua script beside the module that uses it. Every key it touches is declared.

    `is_own`: no other process knows it, so a server that does not was started anew, or took another's place.
    """

    def __init__(self, path: Path, is_own: bool = False) -> None:
        self._source = (f"-- {secrets.token_hex(16)}\n" if is_own else "") + path.read_text()
        self._sha = hashlib.sha1(self._source.encode(), usedforsecurity=False).hexdigest()

    @property
    def sha(self) -> str:
        """What a server that knows the script calls it."""
        return self._sha

    async def run(self, client: Client, keys: Sequence[str], args: Sequence[bytes | str | int]) -> Any:
        """Run the script, sending its source only to a server that does not know it."""
        return (await self.run_all(client, [(keys, args)]))[0]

    async def run_all(self, client: Client, calls: Sequence[Call]) -> list[Any]:
        """Run the script for each of these keys and arguments; return what it answers to each."""
        if connection := _pipelined(client):
            with contextlib.suppress(ConnectionLostError, TimeoutError, NoScriptError):
                commands = [packed("EVALSHA", self._sha, len(keys), *keys, *args) for keys, args in calls]
                return [_checked(answer) for answer in await asyncio.gather(*map(connection.ask, commands))]
        return await asyncio.gather(*[self._by_client(client, *call) for call in calls])

    async def _by_client(self, client: Client, keys: Sequence[str], args: Sequence[bytes | str | int]) -> Any:
        try:
            return await client.evalsha(self._sha, len(keys), *keys, *args)
        except NoScriptError:
            self._not_known()
            return await self.run_anew(client, keys, args)

    async def run_anew(self, client: Client, keys: Sequence[str], args: Sequence[bytes | str | int]) -> Any:
        """Run the script on a server that may not know it; then it does."""
        return await client.eval(self._source, len(keys), *keys, *args)

    def _not_known(self) -> None:
        """Take note that the server did not know the script."""
