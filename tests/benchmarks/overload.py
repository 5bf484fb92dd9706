"""How the system bears too much: `python -m tests.benchmarks.overload FOLDER [--json FILE] [--only NAME,...]`.

Starts a stack of its own, imports the folder, waits for the trained model, measures what the machine takes (capacity),
then runs one flood after another. Meanwhile probes enrol new learners over HTTP and look when their lists are there,
a reader reads, and memory, lag and marks are sampled. Nothing is asserted: figures and their shapes, not tests.
"""

import argparse
import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import redis
from aiokafka import AIOKafkaConsumer

from adapters.kafka import end_offsets, open_reader, shard_of
from bench.stack import PARTITIONS, Stack, running_up, shards, until
from schemas.candidates import VERSION_AT, VERSION_BYTES
from schemas.keys import ShardKeys
from schemas.topics import LEARNER_EVENTS, Position
from tests.benchmarks.flood import Answers, Caller, Flood, callers, flood_http, flood_kafka
from tests.benchmarks.whole_system import import_folder, wait_for_model

PROBE_S = 0.25
PROBE_PATIENCE_S = 120.0
LEARNERS = 5_000
Pool = asyncio.LifoQueue[Caller]


@dataclass
class Seen:
    """What was seen during a flood."""

    probes_ms: list[float] = field(default_factory=list)
    reads_ms: list[float] = field(default_factory=list)
    refused_probes: int = 0
    degraded_reads: int = 0
    most: dict[str, float] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)

    def sample(self, **values: float) -> None:
        """Keep the first and the greatest of each."""
        for name, value in values.items():
            self.first.setdefault(name, value)
            self.most[name] = max(self.most.get(name, value), value)


def resident_mb(stack: Stack) -> dict[str, float]:
    """Return the resident memory by role, of the largest worker."""
    pids = json.loads((stack.state_dir / "ready.json").read_text())["pids"]
    roles = {"worker": pids["workers"], **{role: [pids[role]] for role in ("api", "redis", "kafka")}}
    found: dict[str, float] = {}
    for role, own in roles.items():
        with suppress(psutil.NoSuchProcess, TypeError):  # just being restarted
            found[f"{role}_rss_mb"] = max(psutil.Process(pid).memory_info().rss for pid in own) / 1e6
    return found


async def log_end(stack: Stack) -> int:
    """Return how many records `learner-events` holds."""
    async with open_reader(stack.ready["kafka"]) as reader:
        return sum((await end_offsets(reader, LEARNER_EVENTS)).values())


class Watcher:
    """Probes, reads and samples for as long as a flood lasts."""

    def __init__(self, stack: Stack, name: str) -> None:
        self._stack = stack
        self._name = name
        self._client = redis.Redis.from_url(stack.ready["redis_url"], socket_timeout=60)
        self.seen = Seen()

    def marks_and_memory(self) -> dict[str, float]:
        """Return the age of the oldest mark, the number of marks, what is merged, and memory."""
        pipeline = self._client.pipeline(transaction=False)
        for keys in shards():
            pipeline.zrange(keys.dirty, 0, 0, withscores=True)
            pipeline.zcard(keys.dirty)
            pipeline.hget(keys.meta, "applied")
        pipeline.info()
        *answers, server = pipeline.execute()
        now_ms = time.time() * 1_000
        oldest_ms = min((found[0][1] for found in answers[::3] if found), default=now_ms)
        return {
            "oldest_mark_s": (now_ms - oldest_ms) / 1_000,
            "marks": sum(answers[1::3]),
            "applied": sum(int(value) + 1 for value in answers[2::3]),
            "redis_clients_mb": server["mem_clients_normal"] / 1e6,
            "redis_connections": server["connected_clients"],
            **resident_mb(self._stack),
        }

    async def _sample(self, reader: AIOKafkaConsumer) -> None:
        values = await asyncio.to_thread(self.marks_and_memory)
        end = sum((await end_offsets(reader, LEARNER_EVENTS)).values())
        self.seen.sample(lag=max(0.0, end - values.pop("applied")), **values)

    async def _probe(self, pool: Pool, user_id: str, course_id: str) -> None:
        """Enrol a new learner, again if refused; note how long after the 202 the list has the event."""
        event = json.dumps({"type": "enrolled", "user_id": user_id, "course_id": course_id}).encode()
        while True:
            caller = await pool.get()
            answer = await caller.ask("POST", "/v1/events", event)
            pool.put_nowait(caller)
            if answer.status == 202:
                break
            self.seen.refused_probes += 1
            await asyncio.sleep(1)
        acknowledged = time.monotonic()
        await self._until_listed(user_id, Position.parse(json.loads(answer.content)["position"]).offset)
        self.seen.probes_ms.append((time.monotonic() - acknowledged) * 1_000)

    async def _until_listed(self, user_id: str, offset: int) -> None:
        key = ShardKeys(shard_of(user_id, PARTITIONS), 0).candidates(user_id)
        patience = time.monotonic() + PROBE_PATIENCE_S
        while time.monotonic() < patience:
            version: Any = self._client.getrange(key, VERSION_AT, VERSION_AT + VERSION_BYTES - 1)
            if len(version) == VERSION_BYTES and int.from_bytes(version[16:24], "big") > offset:
                return
            await asyncio.sleep(0.005)

    async def _read(self, pool: Pool) -> None:
        caller = await pool.get()
        answer = await caller.ask("GET", f"/v1/learners/{self._name}-reader/recommendations?limit=10")
        pool.put_nowait(caller)
        self.seen.reads_ms.append(answer.ms)
        self.seen.degraded_reads += answer.status != 200 or json.loads(answer.content)["degraded"]

    async def watch(self, going: Callable[[], bool]) -> int:
        """Watch as long as `going()`; return where the log ends then."""
        pool, reading = (callers(self._stack.ready["api_url"], self._stack.token, 500) for _ in range(2))
        courses, number = self._stack.course_ids(), 0
        async with open_reader(self._stack.ready["kafka"]) as reader:
            async with asyncio.TaskGroup() as group:
                while going():
                    user_id = f"probe-{self._name}-{number}"
                    group.create_task(self._probe(pool, user_id, courses[number % len(courses)]))
                    group.create_task(self._read(reading))
                    if number % 4 == 0:
                        await self._sample(reader)
                    number += 1
                    await asyncio.sleep(PROBE_S)
            return sum((await end_offsets(reader, LEARNER_EVENTS)).values())


class Bench:
    """One stack under one flood after another."""

    def __init__(self, stack: Stack, jobs: ProcessPoolExecutor) -> None:
        self._stack = stack
        self._jobs = jobs
        self._courses = tuple(stack.course_ids())
        self._capacity = 0.0

    def _flood(self, name: str, **changes: Any) -> Flood:
        given: dict[str, Any] = {
            "rate": 3 * self._capacity,
            "seconds": 60.0,
            "learners": LEARNERS,
            "courses": self._courses,
        }
        return Flood(name, **{**given, **changes})

    def _kafka(self, flood: Flood) -> "Future[float]":
        return self._jobs.submit(flood_kafka, self._stack.ready["kafka"], flood)

    def _http(self, flood: Flood, most: int, batch: int = 1) -> "Future[Answers]":
        return self._jobs.submit(flood_http, self._stack.ready["api_url"], self._stack.token, flood, most, batch)

    def _under(self, name: str, job: "Future[Any]", at_least_s: float = 0.0) -> Any:
        """Watch until the flood is over; note what was seen, and how long catching up took."""
        watcher, until_s, ended = Watcher(self._stack, name), time.monotonic() + at_least_s, list[float]()
        job.add_done_callback(lambda _: ended.append(time.monotonic()))
        end = asyncio.run(watcher.watch(lambda: not job.done() or time.monotonic() < until_s))
        until("catching up", lambda: self._stack.is_quiet(end), 600, 0.2)
        self._stack.note(f"{name}.catch_up_s", time.monotonic() - ended[0])
        self._note(name, watcher.seen)
        return job.result()

    def _note(self, name: str, seen: Seen) -> None:
        for what, values in (("probe", seen.probes_ms), ("read", seen.reads_ms)):
            for share in (50, 99, 100):
                self._stack.note(f"{name}.{what}_p{share}_ms", float(np.percentile(values or [0.0], share)))
        self._stack.note(f"{name}.probes", len(seen.probes_ms))
        self._stack.note(f"{name}.probes_refused", seen.refused_probes)
        self._stack.note(f"{name}.reads_degraded", seen.degraded_reads)
        for what, value in seen.most.items():
            if what.endswith("rss_mb"):
                self._stack.note(f"{name}.{what}_before", seen.first[what])
            self._stack.note(f"{name}.{what}", value)

    def capacity(self) -> None:
        """Note how many events a second become fresh lists: a burst, and the time until all is quiet."""
        for name in ("warm", "burst"):
            self._kafka(self._flood(name, rate=1e9, seconds=1 / 1e9)).result()  # the process is there
            began, job = time.monotonic(), self._kafka(self._flood(name, rate=1e9, seconds=20_000 / 1e9))
            job.result()
            until("the burst", lambda: self._stack.is_quiet(asyncio.run(log_end(self._stack))), 300, 0.1)
            self._capacity = 20_000 / (time.monotonic() - began)
        self._stack.note("capacity_events_per_s", self._capacity)

    def kafka(self) -> None:
        """Three times the capacity for a minute, straight into Kafka."""
        self._under("kafka", self._kafka(self._flood("kafka")))

    def http(self) -> None:
        """As many connections as an API process may meet, each posting as fast as it is answered."""
        for name, most, batch in (("http_32", 32, 1), ("http_1000", 1_000, 1), ("http_batches", 200, 1_000)):
            flood = self._flood(name, rate=1e6, seconds=20.0)
            answers: Answers = self._under(name, self._http(flood, most, batch))
            for status, number in sorted(answers.statuses.items()):
                self._stack.note(f"{name}.answers_{status}_per_s", number / answers.seconds)
                for share in (50, 99):
                    ms = float(np.percentile(answers.ms[status], share))
                    self._stack.note(f"{name}.answers_{status}_p{share}_ms", ms)
            print(f"    retry-after: {dict(answers.retry_after_s)}")

    def kafka_stops(self) -> None:
        """Kafka hangs for 10 s under 500 connections."""
        flood, pid = self._flood("kafka_stops", rate=1e6, seconds=20.0), self._stack.ready["pids"]["kafka"]
        job = self._http(flood, 500, 10)
        time.sleep(4)
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(10)
        finally:
            os.kill(pid, signal.SIGCONT)
        answers: Answers = self._under("kafka_stops", job)
        for status, number in sorted(answers.statuses.items()):
            self._stack.note(f"kafka_stops.answers_{status}", number)

    def hot_learner(self) -> None:
        """10,000 events of one learner within a second."""
        self._under("hot_learner", self._kafka(self._flood("hot", rate=10_000, seconds=1.0, learners=1)), 5)

    def hot_course(self) -> None:
        """10,000 learners enrol in one course within a second."""
        flood = self._flood("course", rate=10_000, seconds=1.0, learners=10_000, courses=self._courses[:1])
        self._under("hot_course", self._kafka(flood), 5)

    def long_history(self) -> None:
        """A learner of 10,000 courses goes on enrolling ten times a second."""
        many = tuple(f"course-{number}" for number in range(10_000))
        first = self._flood("long", rate=1e9, seconds=60_000 / 1e9, learners=1, courses=many)
        self._under("long_history_arrives", self._kafka(first))
        self._under("long_history", self._kafka(self._flood("long", rate=10, seconds=15.0, learners=1, courses=many)))

    def activity(self) -> None:
        """Three times the capacity for half a minute, of views alone."""
        self._under("activity", self._kafka(self._flood("views", seconds=30.0, views=True)))

    def backlog(self) -> None:
        """100,000 events wait while no worker runs; then the supervisor starts them anew."""
        pids: Sequence[int] = json.loads((self._stack.state_dir / "ready.json").read_text())["pids"]["workers"]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        self._kafka(self._flood("backlog", rate=1e9, seconds=100_000 / 1e9)).result()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self._under("backlog", self._kafka(self._flood("meanwhile", rate=100, seconds=20.0)))


PHASES = ("kafka", "http", "kafka_stops", "hot_learner", "hot_course", "long_history", "activity", "backlog")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", default=",".join(PHASES))
    options = parser.parse_args()
    jobs = ProcessPoolExecutor(2, mp_context=get_context("spawn"))
    with running_up() as stack, jobs:
        import_folder(stack, options.folder)
        wait_for_model(stack)
        bench = Bench(stack, jobs)
        bench.capacity()
        for phase in options.only.split(","):
            getattr(bench, phase)()
            if options.json:
                options.json.write_text(json.dumps(stack.figures, indent=2))


if __name__ == "__main__":
    main()
