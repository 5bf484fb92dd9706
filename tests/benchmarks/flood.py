"""Floods for `overload.py`, each in a process of its own: straight into Kafka, or over many HTTP connections."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from adapters.kafka import open_producer
from schemas.events import AnyEvent, Enrolled, Viewed, encode_event
from stream.publisher import publish_events


@dataclass(frozen=True)
class Flood:
    """Events of so many learners, drawn evenly, at a rate; `courses` are drawn evenly too."""

    prefix: str
    learners: int
    courses: tuple[str, ...]
    rate: float
    seconds: float
    views: bool = False

    def events(self) -> Iterator[AnyEvent]:
        """Yield the events."""
        dice, kind, now = random.Random(self.prefix), Viewed if self.views else Enrolled, int(time.time())
        for number in range(int(self.rate * self.seconds)):
            user_id = f"{self.prefix}-{dice.randrange(self.learners)}"
            course_id = dice.choice(self.courses)
            yield kind(event_id=f"{self.prefix} {number}", user_id=user_id, course_id=course_id, occurred_at=now)


class Answer(NamedTuple):
    """An HTTP answer, and how long it took; status 0: the connection broke."""

    status: int
    ms: float
    retry_after: str
    content: bytes


@dataclass
class Answers:
    """What a flood over HTTP was answered: counts by status, and milliseconds by status."""

    statuses: Counter[int] = field(default_factory=Counter)
    ms: dict[int, list[float]] = field(default_factory=dict)
    retry_after_s: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def take(self, answer: Answer) -> None:
        """Count one answer."""
        self.statuses[answer.status] += 1
        self.ms.setdefault(answer.status, []).append(answer.ms)
        if answer.retry_after:
            self.retry_after_s[answer.retry_after] += 1


def flood_kafka(bootstrap_servers: str, flood: Flood) -> float:
    """Publish straight to Kafka; return how many seconds it took."""

    async def publish() -> None:
        async with open_producer(bootstrap_servers, linger_ms=5, max_batch_size=131_072) as producer:
            await publish_events(producer, flood.events(), flood.rate)

    started = time.monotonic()
    asyncio.run(publish())
    return time.monotonic() - started


class Caller:
    """One kept-alive HTTP connection, opened anew when the server has closed it."""

    def __init__(self, api_url: str, token: str) -> None:
        host, _, port = api_url.removeprefix("http://").partition(":")
        self._address = host, port
        self._headers = f"Host: bench\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: bytes = b"") -> Answer:
        """Send one request; status 0 if the connection broke."""
        started, status, retry_after, content = time.monotonic(), 0, "", b""
        try:
            if self._streams is None or self._streams[0].at_eof():
                self._streams = await asyncio.open_connection(*self._address)
            reader, writer = self._streams
            writer.write(
                f"{method} {path} HTTP/1.1\r\n{self._headers}Content-Length: {len(body)}\r\n\r\n".encode() + body
            )
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            content = await reader.readexactly(int(head.partition("content-length:")[2].partition("\r\n")[0]))
            status = int(head.split()[1])
            retry_after = head.partition("retry-after:")[2].partition("\r\n")[0].strip()
        except (OSError, asyncio.IncompleteReadError):
            self._streams = None
        return Answer(status, (time.monotonic() - started) * 1_000, retry_after, content)


def callers(api_url: str, token: str, number: int) -> "asyncio.LifoQueue[Caller]":
    """Return so many connections; the one used last comes first, so that few stay open when few are needed."""
    pool = asyncio.LifoQueue[Caller]()
    for _ in range(number):
        pool.put_nowait(Caller(api_url, token))
    return pool


def flood_http(api_url: str, token: str, flood: Flood, connections: int, batch: int) -> Answers:
    """Post batches on a fixed schedule while a connection is free, over at most so many; return the answers."""

    async def post() -> Answers:
        answers, events, pool = Answers(), flood.events(), callers(api_url, token, connections)

        async def one(caller: Caller, body: bytes) -> None:
            answers.take(await caller.ask("POST", "/v1/events", body))
            pool.put_nowait(caller)

        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(int(flood.rate * flood.seconds / batch)):
                await asyncio.sleep(max(0.0, started + number * batch / flood.rate - time.monotonic()))
                caller = await pool.get()
                if time.monotonic() - started > flood.seconds:
                    break
                group.create_task(one(caller, _body(events, batch)))
        answers.seconds = time.monotonic() - started
        return answers

    return asyncio.run(post())


def _body(events: Iterator[AnyEvent], batch: int) -> bytes:
    raw: list[Any] = [json.loads(encode_event(next(events))) for _ in range(batch)]
    return json.dumps({"events": raw}).encode()
