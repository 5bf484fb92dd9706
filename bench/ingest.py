"""Speed of ingest: batches over HTTP, acknowledged by Kafka, beside a bare producer of the same records."""

import asyncio
import json
import time
from itertools import islice
from statistics import median
from typing import Final, NamedTuple

from adapters.kafka import open_producer
from bench.http import Pool, connections
from bench.processes import cpu_s
from bench.stack import Stack, running_up
from bench.zipf import zipf_events
from schemas.events import LearnerEvent, encode_event
from stream.publisher import publish_events

BATCH: Final = 100
TURNS: Final = 3
EVENTS: Final = 20_000
"""Of a turn."""

_CONNECTIONS: Final = 8


class IngestSpeed(NamedTuple):
    """Events a second, medians of `TURNS` turns; `ratio` is the median of ours to the bare producer's.

    `cpu_us_per_event`: of the API's process.
    """

    events_per_s: float
    ratio: float
    bare_events_per_s: float
    cpu_us_per_event: float
    batch: int


class _Turn(NamedTuple):
    ours: float
    bare: float
    cpu_us: float


def _bodies(events: list[LearnerEvent]) -> list[bytes]:
    raw = [json.loads(encode_event(event)) for event in events]
    return [json.dumps({"events": raw[i : i + BATCH]}).encode() for i in range(0, len(raw), BATCH)]


async def _post(stack: Stack, bodies: list[bytes]) -> float:
    """Post all, some at once; return the seconds until the last is acknowledged."""
    pool: Pool = await connections(stack.ready["api_url"], stack.token, _CONNECTIONS)
    left = iter(bodies)

    async def work() -> None:
        connection = await pool.get()
        for body in left:
            answer = await connection.ask("POST", "/v1/events", body)
            if answer["accepted"] != BATCH:
                raise AssertionError(f"{answer['accepted']} of {BATCH} events were accepted: {answer['rejected'][:1]}")

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(_CONNECTIONS)))
    return time.perf_counter() - began


async def _produce(bootstrap_servers: str, events: list[LearnerEvent]) -> float:
    async with open_producer(bootstrap_servers) as producer:
        began = time.perf_counter()
        await publish_events(producer, events)
        return time.perf_counter() - began


def _turn(stack: Stack, events: list[LearnerEvent]) -> _Turn:
    bodies, api = _bodies(events), stack.ready["pids"]["api"]
    before = cpu_s(api)
    ours = asyncio.run(_post(stack, bodies))
    used_s = cpu_s(api) - before
    bare = asyncio.run(_produce(stack.ready["kafka"], events))
    return _Turn(len(events) / ours, len(events) / bare, used_s / len(events) * 1e6)


def measure(events: int = EVENTS) -> IngestSpeed:
    """Return the speeds; the workers take in what is written meanwhile, as they would."""
    written = zipf_events((TURNS + 1) * events, int(time.time()))
    with running_up() as stack:
        _, *turns = [_turn(stack, list(islice(written, events))) for _ in range(TURNS + 1)]  # the first warms up
    return IngestSpeed(
        events_per_s=round(median(one.ours for one in turns)),
        ratio=round(median(one.ours / one.bare for one in turns), 3),
        bare_events_per_s=round(median(one.bare for one in turns)),
        cpu_us_per_event=round(median(one.cpu_us for one in turns), 1),
        batch=BATCH,
    )
