"""Freshness: from an event's acknowledgement to the answer of a look-up that has it in, of a whole system.

Open loop: events are due on a fixed schedule, whatever the answers, and are sent then as long as a connection is free.
Each is timed from its acknowledgement, and also from when it was **due**: whatever held up the sender, the API or the
log counts in the second, so no wait is hidden by an event that was sent late (coordinated omission). The client is a
process of its own, outside those of the system.
"""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, NamedTuple

import numpy as np

from adapters.kafka import open_producer
from bench.http import Connection, Pool, RefusedError, connections
from bench.stack import Stack, running_up, until
from bench.zipf import catalogue, zipf_events
from schemas.keys import SHARED_META
from stream.publisher import publish_courses, publish_events

RATE: Final = 500
SECONDS: Final = 30.0
LEARNERS: Final = 2_000
EVENTS_BEFORE: Final = 20_000
"""In the log before: something to train on, and histories to go on from."""

_CONNECTIONS: Final = 200
_WARM_S: Final = 3.0
_WAIT_MS: Final = 5_000
_NEVER: Final = float("inf")


class Freshness(NamedTuple):
    """Milliseconds from acknowledged to readable; `due_...`: from when the event was to be sent. `refused`: answers
    that were none of the 2xx; they count as never. `histogram`: how many of each step of milliseconds, in words."""

    rate: int
    p50_ms: float
    p99_ms: float
    due_p50_ms: float
    due_p99_ms: float
    refused: int
    events: int
    histogram: str


@dataclass
class Fresh:
    """When an event was acknowledged, and how many ms later, and after it was due, its list was readable."""

    acknowledged: float
    ms: float = _NEVER
    due_ms: float = _NEVER


async def _one(pool: Pool, user_id: str, course_id: str, due: float, found: list[Fresh]) -> None:
    connection = await pool.get()
    try:
        found.append(await _enrol_and_look(connection, user_id, course_id, due))
    except RefusedError:
        found.append(Fresh(time.monotonic()))
    finally:
        pool.put_nowait(connection)


async def _enrol_and_look(connection: Connection, user_id: str, course_id: str, due: float) -> Fresh:
    event = json.dumps({"type": "enrolled", "user_id": user_id, "course_id": course_id}).encode()
    position = (await connection.ask("POST", "/v1/events", event))["position"]
    acknowledged = time.monotonic()
    path = f"/v1/learners/{user_id}/recommendations?limit=10&after={position}&wait_ms={_WAIT_MS}"
    listed = await connection.ask("GET", path)
    readable = time.monotonic()
    if any(item["course_id"] == course_id for item in listed["items"]):
        raise AssertionError(f"{course_id} was taken and is still listed")
    if listed["degraded"]:
        return Fresh(acknowledged)
    return Fresh(acknowledged, (readable - acknowledged) * 1_000, (readable - due) * 1_000)


async def stream(
    stack: Stack, users: Sequence[str], courses: Sequence[str], rate: float, going: Callable[[int], bool]
) -> list[Fresh]:
    """Enrol these learners at a rate for as long as `going(events sent)`; return how fresh each event was."""
    dice, found, sent = Random(1), list[Fresh](), 0
    pool = await connections(stack.ready["api_url"], stack.token, _CONNECTIONS)
    async with asyncio.TaskGroup() as group:
        began = time.monotonic()
        while going(sent):
            due = began + sent / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            group.create_task(_one(pool, dice.choice(users), dice.choice(courses), due, found))
            sent += 1
    return found


async def _furnish(bootstrap_servers: str) -> None:
    async with open_producer(bootstrap_servers) as producer:
        await publish_courses(producer, catalogue())
        await publish_events(producer, zipf_events(EVENTS_BEFORE, int(time.time()), LEARNERS))


def furnish(stack: Stack) -> None:
    """Give a new system a catalogue, learners and a trained model, and wait until all lists are made."""
    asyncio.run(_furnish(stack.ready["kafka"]))
    stack.wait_for_model()
    until(
        "lists",
        lambda: stack.redis.hget(SHARED_META, "model_epoch") is not None and stack.is_quiet(EVENTS_BEFORE),
    )


def histogram(ms: Sequence[float], width: int = 50) -> str:
    """Return lines, a step of milliseconds each: how many were that fresh.

    >>> print(histogram([3.0, 4.0, 70.0], width=4))
      <     5 ms ████ 2
      <    75 ms ██   1
    """
    steps = (5, 10, 15, 20, 25, 30, 40, 50, 75, 100, 150, 250, 500, 1_000, 5_000, _NEVER)
    lows = (0, *steps)
    counts = [sum(low <= one < high for one in ms) for low, high in zip(lows, steps, strict=False)]
    counts[-1] += sum(one == _NEVER for one in ms)
    rows = [(f"< {high:5.0f} ms", count) for high, count in zip(steps, counts, strict=True) if count]
    return "\n".join(f"  {name} {'█' * max(1, count * width // max(counts)):{width}} {count}" for name, count in rows)


def measure(rate: int = RATE, seconds: float = SECONDS) -> Freshness:
    """Return how fresh lists are while so many events a second come in."""
    courses = [course.course_id for course in catalogue()]
    users = [f"fresh-{number}" for number in range(LEARNERS)]
    with running_up() as stack:
        furnish(stack)
        asyncio.run(stream(stack, users, courses, rate, lambda sent: sent < rate * _WARM_S))
        found = asyncio.run(stream(stack, users, courses, rate, lambda sent: sent < rate * seconds))
    return summary(rate, found)


def summary(rate: int, found: Sequence[Fresh]) -> Freshness:
    """Return percentiles of what was found.

    >>> summary(5, [Fresh(0.0, 1.0, 2.0), Fresh(0.0, 3.0, 4.0)])[:5]
    (5, 1.0, 3.0, 2.0, 4.0)
    """
    ms, due = [one.ms for one in found], [one.due_ms for one in found]
    return Freshness(
        rate=rate,
        p50_ms=_percentile(ms, 50),
        p99_ms=_percentile(ms, 99),
        due_p50_ms=_percentile(due, 50),
        due_p99_ms=_percentile(due, 99),
        refused=sum(one == _NEVER for one in ms),
        events=len(ms),
        histogram=histogram(ms),
    )


def _percentile(ms: Sequence[float], share: float) -> float:
    """Return a value that was seen, since some may be infinite: nothing lies between two."""
    return round(float(np.percentile(ms, share, method="inverted_cdf")), 2)
