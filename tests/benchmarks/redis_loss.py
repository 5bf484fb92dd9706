"""How long Redis, emptied, takes to be whole again: `python tests/benchmarks/redis_loss.py STATE_DIR [--json FILE]`.

Starts `coursestream up` over the directory; one without a log gets a campus of 20,000 learners and 500,000 learner
events, and the first trained model is waited for (a directory from an earlier run is used as it is). Then FLUSHALL,
while a reader asks for one learner after the other. Nothing is asserted but that no whole answer differs from before.
"""

import argparse
import asyncio
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final

import psutil

from adapters.redis import Client, connect
from bench.http import Connection, RefusedError, open_connection
from bench.stack import PARTITIONS, Stack, running_in, until
from datasets.campus import Campus
from datasets.campus_life import Life, history
from schemas.events import LEARNER_EVENTS, AnyEvent
from schemas.keys import SHARED_META, ShardKeys
from schemas.settings import Connections
from stream.publisher import open_publisher, publish_courses, publish_events
from tests.benchmarks.whole_system import wait_for_model

COURSES: Final = 1_000
LEARNERS: Final = 20_000
EVENTS: Final = 500_000
VISITS: Final = 2_000_000
"""More than enough of them for as many hard events."""

_SAMPLE: Final = 200


@dataclass
class Reader:
    """Asks for learners' lists, one after the other, and compares whole answers with what stood before."""

    before: Mapping[str, list[str]]
    whole: int = 0
    degraded: int = 0
    wrong: int = 0
    refused: int = 0
    slowest_ms: float = 0.0
    first_whole_at: float = field(default=float("inf"))

    async def run(self, connection: Connection, done: asyncio.Event) -> None:
        """Read until done."""
        while not done.is_set():
            for user_id, stood in self.before.items():
                began = time.monotonic()
                try:
                    self._judge(await connection.ask("GET", f"/v1/learners/{user_id}"), stood)
                except RefusedError:  # 503: Redis did not answer in time
                    self.refused += 1
                self.slowest_ms = max(self.slowest_ms, (time.monotonic() - began) * 1_000)
                await asyncio.sleep(0.02)

    def _judge(self, answer: Mapping[str, Any], stood: Sequence[str]) -> None:
        if answer["degraded"]:
            self.degraded += 1
            return
        self.whole += 1
        self.first_whole_at = min(self.first_whole_at, time.monotonic())
        self.wrong += sorted(course["course_id"] for course in answer["courses"]) != stood


async def _write_log(stack: Stack) -> None:
    campus = Campus(COURSES, LEARNERS, seed=1)
    day_zero = datetime.now(UTC) - timedelta(days=300)

    def hard() -> Iterator[AnyEvent]:
        made = history(Life(campus), VISITS, day_zero)
        yield from islice((event for event in made if isinstance(event, LEARNER_EVENTS)), EVENTS)

    began = time.monotonic()
    async with open_publisher(stack.ready["kafka"]) as producer:
        await publish_courses(producer, (course.published(day_zero) for course in campus.courses.values()))
        stack.note("events", await publish_events(producer, hard()))
    stack.note("events_written_s", time.monotonic() - began)


async def _learners(client: Client) -> list[str]:
    found: list[Any] = [await client.zrange(ShardKeys(shard, 0).learners, 0, -1) for shard in range(PARTITIONS)]
    return [user.decode() for users in found for user in users]


async def _states(client: Client) -> list[str]:
    pipeline = client.pipeline(transaction=False)
    for shard in range(PARTITIONS):
        pipeline.hget(ShardKeys(shard, 0).meta, "status")
    return [(status or b"absent").decode() for status in await pipeline.execute()]


async def _lists(client: Client) -> int:
    """Return how many learners have a list."""
    found = 0
    async for key in client.scan_iter(match="cs:*:l:*", count=5_000):
        found += bool(key)
    return found


async def _watch(stack: Stack, client: Client, lists: int, began: float) -> None:
    """Note when the first and the last shard is live, the shared lists are there, and all lists are."""
    pending = {"shared_lists_s", "first_shard_live_s", "all_shards_live_s"}
    while pending:
        states = await _states(client)
        holds = {
            "shared_lists_s": bool(await client.hget(SHARED_META, "counted")),
            "first_shard_live_s": "live" in states,
            "all_shards_live_s": set(states) == {"live"},
        }
        for name in sorted(name for name in pending if holds[name]):
            stack.note(name, time.monotonic() - began)
            pending.remove(name)
        await asyncio.sleep(0.05)
    while await _lists(client) < lists:  # noqa: ASYNC110 - another process decides it
        await asyncio.sleep(0.2)
    stack.note("all_lists_s", time.monotonic() - began)


def _cpu_s(stack: Stack) -> dict[str, float]:
    pids = stack.ready["pids"]
    named = {"kafka": [pids["kafka"]], "redis": [pids["redis"]], "workers": pids["workers"], "api": [pids["api"]]}
    times = {name: [psutil.Process(pid).cpu_times() for pid in numbers] for name, numbers in named.items()}
    return {name: sum(one.user + one.system for one in found) for name, found in times.items()}


async def _lose(stack: Stack) -> None:
    client = connect(Connections(redis_url=stack.ready["redis_url"]))
    users, lists = await _learners(client), await _lists(client)
    stack.note("learners", len(users))
    stack.note("lists", lists)
    connection = await open_connection(stack.ready["api_url"], stack.token)
    before = {}
    for user_id in users[:: max(len(users) // _SAMPLE, 1)]:
        courses = (await connection.ask("GET", f"/v1/learners/{user_id}"))["courses"]
        before[user_id] = sorted(course["course_id"] for course in courses)
    reader, done, cpu_s = Reader(before), asyncio.Event(), _cpu_s(stack)
    began = time.monotonic()
    await client.flushall()
    reading = asyncio.create_task(reader.run(connection, done))
    await _watch(stack, client, lists, began)
    done.set()
    await reading
    for name, spent in _cpu_s(stack).items():
        stack.note(f"cpu_{name}_s", spent - cpu_s[name])
    stack.note("degraded_answers_share", reader.degraded / (reader.degraded + reader.whole))
    stack.note("first_whole_answer_s", reader.first_whole_at - began)
    stack.note("slowest_answer_ms", reader.slowest_ms)
    stack.note("refused_answers", reader.refused)
    stack.note("wrong_answers", reader.wrong)
    await client.aclose()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state_dir", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.state_dir.mkdir(parents=True, exist_ok=True)
    with running_in(options.state_dir) as stack:
        if not stack.applied():
            asyncio.run(_write_log(stack))
        until("all lists", lambda: stack.is_quiet(EVENTS), 1_800)
        wait_for_model(stack)
        until("all lists of the model", lambda: stack.is_quiet(EVENTS), 1_800)
        asyncio.run(_lose(stack))
        stack.note("load_average", os.getloadavg()[0])
        stack.note("cpus", os.cpu_count() or 0)
    if options.json:
        options.json.write_text(json.dumps(stack.figures, indent=2))


if __name__ == "__main__":
    main()
