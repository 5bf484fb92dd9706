"""Who follows a learner is woken when the stream or a write says so; while no notice can come, he looks himself."""

import asyncio
import contextlib
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

import msgspec
from redis.exceptions import RedisClusterException, RedisError

from adapters.redis import Client
from api.problems import unavailable
from schemas.keys import CHANGED

logger: Final = logging.getLogger(__name__)

HEARTBEAT_S: Final = 15.0
"""A stream says something at least so often, and looks by itself: a proxy keeps it open, no notice is lost for long."""

POLL_S: Final = 0.5
"""Followers look so often while Redis sends no notices."""

_SILENCE_S: Final = 2.0
_users: Final = msgspec.msgpack.Decoder(list[str])


class Woken(Protocol):
    """What a notice wakes."""

    def wake(self) -> None:
        """Say that it is time to look."""


class Follower:
    """Somebody who waits for changes of one learner."""

    def __init__(self, changes: "Changes") -> None:
        self._changes = changes
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Say that it is time to look."""
        self._woken.set()

    async def wait(self, timeout_s: float) -> None:
        """Wait until woken, or until it is time to look anyway."""
        pause_s = min(timeout_s, HEARTBEAT_S if self._changes.is_heard else POLL_S)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), max(pause_s, 0))
        self._woken.clear()


class Changes:
    """The notices of changed learners, heard once a process, and those who follow."""

    def __init__(self, client: Client, max_streams: int) -> None:
        self._client = client
        self._max_streams = max_streams
        self._followers: defaultdict[str, set[Woken]] = defaultdict(set)
        self._by_caller: Counter[str] = Counter()
        self.num_open = 0
        self.is_heard = False
        self.is_ended = False

    @contextmanager
    def follow(self, user_id: str, caller: str = "") -> Iterator[Follower]:
        """Be woken by a learner's changes. Raises the 503 problem while too many follow, or at the end.

        One caller may hold half of the streams.
        """
        is_greedy = bool(caller) and self._by_caller[caller] >= max(1, self._max_streams // 2)
        if self.is_ended or self.num_open >= self._max_streams or is_greedy:
            raise unavailable("too many streams are open here; try again, or ask for the list without following it")
        follower = Follower(self)
        self.add(user_id, follower)
        self.num_open += 1
        self._by_caller[caller] += 1
        try:
            yield follower
        finally:
            self.num_open -= 1
            self._by_caller[caller] -= 1
            if not self._by_caller[caller]:
                del self._by_caller[caller]
            self.remove(user_id, follower)

    def add(self, user_id: str, follower: Woken) -> None:
        """Wake somebody by a learner's changes, until he is removed; he must not be long at it."""
        self._followers[user_id].add(follower)

    def remove(self, user_id: str, follower: Woken) -> None:
        """Wake him no more."""
        self._followers[user_id].discard(follower)
        if not self._followers[user_id]:
            del self._followers[user_id]

    def wake(self, user_ids: Iterable[str]) -> None:
        """Wake those who follow these learners."""
        for user_id in user_ids:
            for follower in self._followers.get(user_id, ()):
                follower.wake()

    def wake_all(self) -> None:
        """Wake everybody."""
        self.wake(self._followers)

    def end(self) -> None:
        """End every stream, and open none any more."""
        self.is_ended = True
        self.wake_all()

    async def run(self) -> None:
        """Listen for ever, connecting anew whenever that is needed."""
        while True:
            try:
                await self._listen()
            except (RedisError, RedisClusterException, TimeoutError, OSError) as error:
                logger.warning("changes of lists are looked for every %.1f s: %r", POLL_S, error)
            self.is_heard = False
            self.wake_all()
            await asyncio.sleep(POLL_S)

    async def _listen(self) -> None:
        """Take notices until the server goes silent: a ping must be answered."""
        await self._client.ping()  # the client of a cluster knows no node to subscribe at before its first command
        async with self._client.pubsub() as channel:
            await channel.subscribe(CHANGED)
            heard_at = time.monotonic()
            while True:
                message = await channel.get_message(timeout=_SILENCE_S)
                if message is not None:
                    heard_at = time.monotonic()
                    self._take(message)
                elif time.monotonic() - heard_at > 2 * _SILENCE_S:
                    raise TimeoutError("Redis is silent")
                else:
                    await channel.ping()

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":  # also after a connection was lost, and notices with it
            self.is_heard = True
            self.wake_all()
        elif message["type"] == "message":
            self.wake(self._named(message["data"]))

    def _named(self, raw: bytes) -> Iterable[str]:
        try:
            return _users.decode(raw)
        except msgspec.DecodeError:  # of another version: everybody looks
            return list(self._followers)
