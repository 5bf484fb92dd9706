"""The fast lane of ingest against the ordinary way: random and hostile requests, answered and published alike."""

import asyncio
import json
import logging
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from unittest.mock import Mock

import pytest
from redis import Redis

from adapters.follow import ControlLog
from api import routes_events
from api.event_log import Appended, EventLog, Record
from schemas.control import ControlState
from schemas.errors import NotReadyError
from schemas.keys import ShardKeys
from tests.api_server import PARTITIONS, token
from tests.lane_house import Ends, Served, served
from tests.servers import running_redis
from tests.waiting import until

REQUESTS: Final = 600
NOW: Final = datetime(2026, 1, 2, tzinfo=UTC)
LONG_S: Final = 86_400
TOKENS: Final = {
    scope: token("u1" if scope == "learner" else "service", scope, LONG_S)
    for scope in ("publisher", "learner", "admin", "reader", "")
}
USUAL: Final = {"type": "enrolled", "user_id": "u1", "course_id": "c1"}
MANGLED: Final[tuple[Any, ...]] = (
    {"type": "dropped", "user_id": "ü", "course_id": "c2", "occurred_at": "2026-01-01T00:00:00Z", "event_id": "e"},
    {"type": "rated", "user_id": "u1", "course_id": "c", "value": 4}, {**USUAL, "extra": {"deep": [1, {}]}},
    {"type": "viewed", "user_id": "u2", "course_id": "c"}, {"type": "erased", "user_id": "u1"}, {"type": "magic"},
    {**USUAL, "course_id": ""}, {**USUAL, "course_id": "x" * 300}, {**USUAL, "occurred_at": "yesterday"},
    {**USUAL, "occurred_at": "2030-01-01T00:00:00Z"}, {**USUAL, "occurred_at": -1}, {**USUAL, "user_id": 7}, {}, [], 7,
    None, "enrolled", {"type": "progressed", "user_id": "u1", "course_id": "c", "value": 1.5},
    {"type": "feedback", "user_id": "u1", "course_id": "c", "value": "not_for_me"}, {**USUAL, "schema_version": 9},
    {"type": "searched", "user_id": "u1", "query": "q" * 501},
)  # fmt: skip
BODIES: Final = (
    b"", b" ", b"{", b"[]", b"null", b"\xff", b'{"events": []}', b'{"events": {}}', b'{"events": 5, "type": "viewed"}',
    b"[" * 5_000, b'{"a": 1, "a": 2}', b"{}" * 2, b"x" * 20_000,
)  # fmt: skip
HEADERS: Final = (
    "Idempotency-Key: k1\r\n", "Idempotency-Key: k1\r\nIdempotency-Key: k2\r\n", f"Idempotency-Key: {'k' * 501}\r\n",
    "Idempotency-Key: \xe9\r\n", "Idempotency-Key:\r\n", "Content-Type: text/plain\r\n", "Expect: 100-continue\r\n",
    "Content-Encoding: gzip\r\n", "X-HTTP-Method-Override: PUT\r\n", "Content-Length: 5\r\n",
)  # fmt: skip
PATHS: Final = (
    "/v1/events/",
    "/v1/%65vents",
    "/v1/events?a=1",
    "/v1/EVENTS",
    "//v1/events",
    "/v1/events%2F",
    "/v1%2Fevents",
)
AUTHORIZATIONS: Final = (
    "", f"Authorization: {TOKENS['publisher']}\r\n", f"Authorization: bearer {TOKENS['publisher']}\r\n",
    f"Authorization: Bearer  {TOKENS['publisher']}\r\n", "Authorization: Bearer x.y.z\r\n",
    f"Authorization: Bearer {TOKENS['learner']}\r\nAuthorization: Bearer {TOKENS['publisher']}\r\n",
    f"Authorization: Bearer {token('s', 'publisher', ttl_s=-5)}\r\n",
)  # fmt: skip


class Log(EventLog):
    """The log, in memory."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.is_away = False

    async def append(self, records: Sequence[Record]) -> list[Appended]:
        """Return a place for each."""
        if self.is_away:
            raise NotReadyError("Kafka does not answer")
        first = len(self.records)
        self.records += records
        return [Appended(first + i, 1_700_000_000_000) for i in range(len(records))]


@dataclass
class House:
    """Both ways to logs of their own."""

    fast: Served
    ordinary: Served
    logs: tuple[Log, Log]

    async def compare(self, request: bytes) -> bytes:
        """Return the answer that both ways give."""
        fast, ordinary = await self.fast.answer(request), await self.ordinary.answer(request)
        assert fast == ordinary, request
        assert self.logs[0].records == self.logs[1].records
        return fast


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server.redis_url


async def _house(redis_url: str, **settings: Any) -> AsyncIterator[House]:
    control, ends, logs = ControlLog("unused:1"), Ends(), (Log(), Log())
    control.state = ControlState(partitions=PARTITIONS)
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(Redis.from_url(redis_url))
        redis.flushdb()
        for shard in range(PARTITIONS):
            fields: dict[Any, Any] = {"generation": 0, "status": "live", "nonce": "0" * 32, "applied": -1}
            redis.hset(ShardKeys(shard, 0).meta, mapping=fields)
        ways = [
            await stack.enter_async_context(served(redis_url, control, ends, lambda: 100.0, lane, **settings))
            for lane in (True, False)
        ]
        for way, log in zip(ways, logs, strict=True):
            way.services.publisher._log = log
        yield House(ways[0], ways[1], logs)


@pytest.fixture
async def house(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr(routes_events, "datetime", Frozen)
    async for one in _house(redis_url, max_body_bytes=100_000):
        yield one


class Frozen(datetime):
    """A clock that stands still, so that both ways name events alike."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]  # no date of this class is made
        """Return the moment."""
        return NOW.astimezone(tz)


def a_body(draw: random.Random) -> bytes:
    """Return a body: mostly one event or several, some of them wrong."""
    if draw.random() < 0.15:
        return draw.choice(BODIES)
    events = [USUAL if draw.random() < 0.5 else draw.choice(MANGLED) for _ in range(draw.choice((1, 1, 3, 30)))]
    body = events[0] if len(events) == 1 else {"events": events}
    return json.dumps(body, ensure_ascii=draw.random() < 0.5).encode()


def a_request(draw: random.Random) -> bytes:
    """Return a request as it may come."""
    body, path = a_body(draw), draw.choice(PATHS) if draw.random() < 0.05 else "/v1/events"
    usual = f"Authorization: Bearer {draw.choice([TOKENS['publisher'], *TOKENS.values()])}\r\n"
    authorization = draw.choice(AUTHORIZATIONS) if draw.random() < 0.1 else usual
    header = draw.choice(HEADERS) if draw.random() < 0.3 else ""
    length = f"Content-Length: {len(body)}\r\n"
    if draw.random() < 0.05:
        length, body = (
            "Transfer-Encoding: chunked\r\n",
            b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n",
        )
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{header}{authorization}{length}Connection: close\r\n\r\n"
    return head.encode("latin-1") + body


@pytest.mark.timeout(300)
async def test_both_ways_answer_and_publish_alike(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    draw, statuses = random.Random(7), set()
    by_lane = Mock(wraps=routes_events.ingest)
    monkeypatch.setattr("api.lane_ingest.ingest", by_lane)
    for _ in range(REQUESTS):
        statuses.add((await house.compare(a_request(draw)))[9:12])
    assert statuses >= {b"202", b"400", b"401", b"403", b"404", b"422"}
    assert len(house.logs[0].records) > REQUESTS / 2
    assert by_lane.call_count > REQUESTS / 4
    fast, ordinary = (
        [
            line
            for line in one.services.metrics.text().decode().splitlines()
            if line.startswith(("coursestream_events_", "coursestream_http_requests_total")) and "_created" not in line
        ]
        for one in (house.fast, house.ordinary)
    )
    assert sorted(fast) == sorted(ordinary)


async def test_what_is_too_large_or_cannot_be_kept_is_refused_alike(house: House) -> None:
    head = f"POST /v1/events HTTP/1.1\r\nAuthorization: Bearer {TOKENS['publisher']}\r\nConnection: close\r\n".encode()
    body = json.dumps(USUAL).encode()
    request = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    for _ in range(2):  # the token is known at the second time
        assert (await house.compare(request))[9:12] == b"202"
    assert (await house.compare(head + b"Content-Length: 100001\r\n\r\n"))[9:12] == b"413"
    for log in house.logs:
        log.is_away = True
    answer = await house.compare(request)
    assert answer[9:12] == b"503" and b"retry-after: 1" in answer


async def test_who_publishes_too_much_is_told_so_by_both(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes_events, "datetime", Frozen)
    async for house in _house(redis_url, service_quota=3):
        body = json.dumps(USUAL).encode()
        head = f"POST /v1/events HTTP/1.1\r\nAuthorization: Bearer {TOKENS['publisher']}\r\nConnection: close\r\n"
        request = head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body
        assert [(await house.compare(request))[9:12] for _ in range(5)] == [b"202"] * 3 + [b"429"] * 2


async def test_who_goes_away_before_all_is_sent_is_counted_and_no_fault(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    body = json.dumps(USUAL).encode()
    head = f"POST /v1/events HTTP/1.1\r\nAuthorization: Bearer {TOKENS['publisher']}\r\nConnection: close\r\n".encode()
    await house.compare(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)  # the token is known now
    for way in (house.fast, house.ordinary):
        _, writer = await asyncio.open_connection("127.0.0.1", way.port)
        writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body[:5])
        await writer.drain()
        writer.close()

        async def is_counted(way: Served = way) -> bool:
            return b'route="/v1/events",status="499"} 1.0' in way.services.metrics.text()

        await until(is_counted, "a request that ended early")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
