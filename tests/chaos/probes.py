"""Probe learners, one a shard: whether what is acknowledged now is in a list again, and how long that takes."""

import asyncio
import itertools
import time
import uuid
from collections.abc import Iterator
from typing import Final

from adapters.kafka import shard_of
from schemas.topics import Position
from tests.chaos.api_client import ApiClient, UnavailableError
from tests.chaos.campus import COURSES, RETIRED, utc_now
from tests.chaos.invariants import state_offset
from tests.chaos.record import Record
from tests.chaos.stack import Stack

_CALM_S: Final = 3.0
"""A shard is probed so often while nothing is the matter."""
_EAGER_S: Final = 0.1
_WAIT_MS: Final = 1_000
_PAUSE_S: Final = 0.1


def probe_learners(shards: int) -> list[str]:
    """Return a learner of each shard.

    >>> [shard_of(user_id, 2) for user_id in probe_learners(2)]
    [0, 1]
    """
    names = (f"probe-{number}" for number in itertools.count())
    found: dict[int, str] = {}
    while len(found) < shards:
        name = next(names)
        found.setdefault(shard_of(name, shards), name)
    return [found[shard] for shard in range(shards)]


class Prober:
    """Enrols the probe learners again and again, and waits each time until the list knows."""

    def __init__(self, stack: Stack, record: Record, shards: int) -> None:
        self._stack = stack
        self._record = record
        self.fresh_since = [float("-inf")] * shards
        """By shard: when the newest event that came through was sent, s of the monotonic clock."""
        self.longest_s = 0.0
        self._wake = asyncio.Event()
        self._stopping = False
        self._users = probe_learners(shards)

    async def run(self) -> None:
        """Probe every shard until told to stop."""
        async with asyncio.TaskGroup() as tasks:
            for shard, user_id in enumerate(self._users):
                tasks.create_task(self._probe_shard(shard, user_id))

    def stop(self) -> None:
        """Finish what was begun and begin nothing more."""
        self._stopping = True
        self._wake.set()

    async def fresh_after(self, moment_s: float, shards: list[int] | None = None) -> float:
        """Wait until an event sent after a moment is in a list of each shard; return when that was seen."""
        self._wake.set()
        try:
            while min(self.fresh_since[shard] for shard in shards or range(len(self.fresh_since))) <= moment_s:  # noqa: ASYNC110
                await asyncio.sleep(_PAUSE_S / 4)
        finally:
            if not self._stopping:
                self._wake.clear()
        return time.monotonic()

    async def _probe_shard(self, shard: int, user_id: str) -> None:
        client, courses = ApiClient(self._stack), _courses(shard)
        try:
            while not self._stopping:
                began = time.monotonic()
                offset = await self._enrol(client, user_id, next(courses))
                acked = time.monotonic()
                if await self._is_listed(client, user_id, shard, offset):
                    self.fresh_since[shard] = began
                self.longest_s = max(self.longest_s, time.monotonic() - acked)
                await self._rest()
        finally:
            await client.aclose()

    async def _rest(self) -> None:
        if self._wake.is_set():
            await asyncio.sleep(_EAGER_S)
            return
        try:
            await asyncio.wait_for(self._wake.wait(), _CALM_S)
        except TimeoutError:
            return

    async def _enrol(self, client: ApiClient, user_id: str, course_id: str) -> int:
        """Return the offset of an enrolment once it is acknowledged."""
        body = {
            "type": "enrolled", "event_id": uuid.uuid4().hex, "user_id": user_id, "course_id": course_id,
            "occurred_at": utc_now().isoformat(),
        }  # fmt: skip
        self._record.sent([body])
        while True:
            try:
                answer = await client.ask("POST", "/v1/events", body)
            except UnavailableError:
                await asyncio.sleep(_PAUSE_S)
                continue
            self._record.acknowledged([body])
            return Position.parse(answer["position"]).offset

    async def _is_listed(self, client: ApiClient, user_id: str, shard: int, offset: int) -> bool:
        """Wait until the list knows an event; False if told to stop before it does."""
        position = f"learner-events:{shard}:{offset}"
        path = f"/v1/learners/{user_id}/recommendations?limit=5&after={position}&wait_ms={_WAIT_MS}"
        while not self._stopping:
            try:
                answer = await client.ask("GET", path)
            except UnavailableError:
                await asyncio.sleep(_PAUSE_S)
                continue
            if not answer["degraded"] and state_offset(answer) >= offset:
                return True
            await asyncio.sleep(_PAUSE_S / 2)
        return False


def _courses(shard: int) -> Iterator[str]:
    """Yield courses for ever, the same again after a while: an enrolment repeated is an event like any other."""
    return itertools.cycle(f"c{i}" for i in range(shard % 2, COURSES, 2) if f"c{i}" not in RETIRED)
