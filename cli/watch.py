"""What a live screen shows of a running system: flow, lag, freshness, models, live quality; each as it changes."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

import msgspec
from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from adapters.follow import ControlLog
from cli.patient import PatientApi
from cli.system import System
from schemas.control import ModelPromoted, ModelRolledBack, decode_control
from schemas.errors import CoursestreamError
from stream.lag import Lag, open_lag_reader

_LOOK_S: Final = 1.0
_QUALITY_S: Final = 5.0
_FLOW_LOOKS: Final = 10
_PROBES: Final = 400
_PROBE_S: Final = 0.3
_WAIT_MS: Final = 5_000


@dataclass(frozen=True)
class Promotion:
    """A decision that made a model live."""

    version: str
    moment_s: float
    reason: str


class Promotions(ControlLog):
    """`control`, with the decisions that made models live, oldest first."""

    def __init__(self, bootstrap_servers: str) -> None:
        super().__init__(bootstrap_servers)
        self.made: list[Promotion] = []

    def take(self, record: ConsumerRecord) -> None:
        """Fold one decision."""
        super().take(record)
        with suppress(msgspec.DecodeError):
            match decode_control(record.value or b""):
                case ModelPromoted() | ModelRolledBack() as made:
                    self.made.append(Promotion(made.version, record.timestamp / 1_000, made.reason))


class Freshness:
    """From the acknowledgement of an event to the changed list being readable: measured on some of the events."""

    def __init__(self, api: PatientApi) -> None:
        self._api = api
        self._seconds: deque[float] = deque(maxlen=_PROBES)
        self._measuring: asyncio.Task[None] | None = None
        self._last_s = 0.0

    def observe(self, user_id: str, position: str) -> None:
        """Measure an event that was just acknowledged, unless another one is being measured."""
        busy = self._measuring is not None and not self._measuring.done()
        if not busy and time.monotonic() - self._last_s >= _PROBE_S:
            self._measuring = asyncio.create_task(self._measure(user_id, position))

    def stop(self) -> None:
        """Measure no further."""
        if self._measuring is not None:
            self._measuring.cancel()

    async def _measure(self, user_id: str, position: str) -> None:
        self._last_s = time.monotonic()
        path = f"/v1/learners/{quote(user_id, safe='')}/recommendations"
        with suppress(CoursestreamError):
            await self._api.get(path, limit=1, after=position, wait_ms=_WAIT_MS)
            self._seconds.append(time.monotonic() - self._last_s)

    def quantile_ms(self, share: float) -> float | None:
        """Return the milliseconds that this share of the latest measurements stayed below; None without any."""
        if not self._seconds:
            return None
        ordered = sorted(self._seconds)
        return 1_000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)]


@dataclass
class Watch:
    """What is known of a running system now. `quality`: by strategy, hit rate and number of tests."""

    system: System
    api: PatientApi
    freshness: Freshness
    lag: int | None = None
    lag_s: float = 0.0
    events: int = 0
    events_per_s: float | None = None
    promotions: list[Promotion] = field(default_factory=list)
    quality: dict[str, tuple[float, int]] = field(default_factory=dict)

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        try:
            await asyncio.gather(_again(self._watch_lag), _again(self._watch_models), _again(self._watch_quality))
        finally:
            self.freshness.stop()

    async def _watch_lag(self) -> None:
        seen: deque[tuple[float, int]] = deque(maxlen=_FLOW_LOOKS)
        async with open_lag_reader(self.system.connections()) as reader:
            while True:
                found = await reader.read()
                self.lag, self.lag_s, self.events = found.lag, found.max_lag_s, _ends(found)
                seen.append((time.monotonic(), self.events))
                (first_s, first), (last_s, last) = seen[0], seen[-1]
                self.events_per_s = (last - first) / (last_s - first_s) if last_s > first_s else None
                await asyncio.sleep(_LOOK_S)

    async def _watch_models(self) -> None:
        async with Promotions(self.system.kafka) as control:
            self.promotions = control.made
            await control.run()

    async def _watch_quality(self) -> None:
        while True:
            answer = await self.api.get("/v1/quality")
            self.quality = by_strategy(answer)
            await asyncio.sleep(_QUALITY_S)


def _ends(lag: Lag) -> int:
    return sum(partition.end for partition in lag.partitions)


async def _again(look: Callable[[], Awaitable[None]]) -> None:
    """Look until cancelled; what fails for now is tried again."""
    while True:
        with suppress(CoursestreamError, KafkaError, RedisError, OSError):
            await look()
        await asyncio.sleep(_QUALITY_S)


def by_strategy(answer: dict[str, list[dict[str, object]]]) -> dict[str, tuple[float, int]]:
    """Return hit rate and number of tests by strategy, over all models and lengths of history.

    >>> row = {"model_version": "m", "strategy": "hybrid", "reciprocal_rank": 0.1}
    >>> by_strategy({"models": [{**row, "tests": 30, "hit_rate": 0.5}, {**row, "tests": 10, "hit_rate": 0.1}]})
    {'hybrid': (0.4, 40)}
    """
    sums: dict[str, tuple[float, int]] = {}
    for row in answer["models"]:
        hits, tests = sums.get(str(row["strategy"]), (0.0, 0))
        more = int(str(row["tests"]))
        sums[str(row["strategy"])] = hits + float(str(row["hit_rate"])) * more, tests + more
    return {strategy: (hits / tests, tests) for strategy, (hits, tests) in sums.items() if tests}
