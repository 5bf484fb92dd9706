"""A client of a Redis Cluster that one node's absence does not take away from the others.

The library's own closes the connections to all nodes when a command fails at one, begins anew to learn the nodes when a
caller's patience ends, and raises errors that are no RedisError.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Self

from redis.asyncio import RedisCluster
from redis.asyncio.cluster import ClusterPipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError

MAX_CONNECTIONS: Final = 10_000
"""To one node. The library's 100 would refuse the next command, not let it wait."""

_LEARN_S: Final = 2.0
"""Nodes and slots are learned at most so often: while a node is away each command at it asks for that."""

_in_command: ContextVar[bool] = ContextVar("_in_command", default=False)


@contextmanager
def _command() -> Iterator[None]:
    """Raise as a connection error what is one: the cluster is not whole, or a command beside closed the connection."""
    token = _in_command.set(True)
    try:
        yield
    except RedisClusterException as error:
        raise RedisConnectionError(str(error)) from error
    except AttributeError as error:
        if error.name not in ("writelines", "drain"):  # of a stream that is None since it was closed
            raise
        raise RedisConnectionError("the connection was closed meanwhile") from error
    finally:
        _in_command.reset(token)


class _Pipeline(ClusterPipeline):
    async def execute(self, *args: Any, **kwargs: Any) -> list[Any]:
        with _command():
            return await super().execute(*args, **kwargs)


class Cluster(RedisCluster):
    """A client that raises nothing but RedisError."""

    _learning: "asyncio.Task[Any] | None" = None
    _learned_at = float("-inf")

    async def initialize(self, *args: Any, **kwargs: Any) -> Self:
        """Learn the nodes and which slots they hold, once for all who wait for it and whoever ceases to wait."""
        if self._learning is None or (self._learning.done() and time.monotonic() - self._learned_at > _LEARN_S):
            self._learned_at = time.monotonic()
            self._learning = asyncio.create_task(self._learn(*args, **kwargs))
            self._learning.add_done_callback(_taken)
        with _command():
            await asyncio.shield(self._learning)
        return self

    async def _learn(self, *args: Any, **kwargs: Any) -> None:
        await self.nodes_manager.initialize(*args, **kwargs)
        if not self.commands_parser.commands:
            await self._learn_commands()
        self._initialize = False

    async def _learn_commands(self) -> None:
        """Learn which commands there are, once, from any node: the library insists on the first, which may be away."""
        *nodes, last = self.get_primaries()
        for node in nodes:
            with contextlib.suppress(RedisError):
                await self.commands_parser.initialize(node)
                return
        await self.commands_parser.initialize(last)

    async def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command at the nodes that hold its keys."""
        with _command():
            return await super().execute_command(*args, **kwargs)

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> ClusterPipeline:  # noqa: ARG002 - its base's
        """Collect commands."""
        return _Pipeline(self, transaction)  # type: ignore[abstract]  # an attribute that no base assigns

    async def aclose(self) -> None:
        """Close all connections; within a command, which others run beside, only learn the nodes again."""
        if _in_command.get():
            self._initialize = True
            return
        if self._learning:
            self._learning.cancel()
        self._initialize = (
            False  # the library closes nothing once a failure has asked for the nodes to be learned again
        )
        await super().aclose()


def _taken(learning: "asyncio.Task[Any]") -> None:
    """Take note of a failure that nobody may wait for any more."""
    if not learning.cancelled():
        learning.exception()
