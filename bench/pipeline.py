"""Speed of the stream: learners by Zipf's law, their histories merged and their lists made anew.

One worker on a core of its own (where there are two), all others on the rest: events are published at once, and the
clock stops when all are merged and no list is behind. Beside it, on the same log and core, a Faust agent that does
nothing. Then a backlog: no worker runs while events are written; then two are started, and the clock with them.
"""

import asyncio
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import redis

from adapters.kafka import open_producer
from bench.log import PARTITIONS, Backends, backends
from bench.processes import cpu_s
from bench.stack import is_quiet, shards, until
from bench.zipf import catalogue, zipf_events
from deploy.this_python import dying_with_us, run_module
from schemas.candidates import VERSION_AT, VERSION_BYTES
from schemas.events import LearnerEvent
from schemas.meta import HEADER_FIELD
from stream.publisher import publish_courses

EVENTS: Final = 60_000
BACKLOG: Final = 500_000
EVENTS_BEFORE: Final = 20_000
"""In the log before: something to train a model on."""

_QUICK_TRAINING: Final = {"TRAIN_EPOCHS": "2", "TRAIN_PATIENCE": "0"}
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_PATIENCE_S: Final = 900.0
_SAMPLE: Final = 2_000


class PipelineSpeed(NamedTuple):
    """Events a second until the lists are right; `ratio`: to the idle agent, on the same core in the same run.

    CPU is that of the worker's process, of the idle agent's; `backlog_...`: two workers, after none ran.
    """

    events_per_s: float
    ratio: float
    idle_events_per_s: float
    cpu_us_per_event: float
    idle_cpu_us_per_event: float
    cpu_ratio: float
    events: int
    backlog_events_per_s: float
    backlog_events: int


def _own_core() -> tuple[set[int], set[int]]:
    """Return the core of the worker and those of all others; the same where there is one."""
    cores = sorted(os.sched_getaffinity(0))
    return {cores[-1]}, set(cores[:-1]) or {cores[-1]}


@contextmanager
def _kept_to(cores: set[int]) -> Iterator[None]:
    """Keep this process, and all that it starts, to these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def _child(command: Sequence[str], cores: set[int], **settings: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a process on these cores; it dies with us, and with the context."""
    process = subprocess.Popen(
        dying_with_us(*command), env={**os.environ, **_ONE_THREAD, **settings}, stdout=subprocess.PIPE
    )
    os.sched_setaffinity(process.pid, cores)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def _worker(running: Backends, number: int, cores: set[int]) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a worker."""
    with _child(run_module("stream"), cores, **running.environment, WORKER_ID=f"worker-{number}") as process:
        yield process


def _check(client: "redis.Redis") -> None:
    """Look at learners of every shard whether their list was made from all that is merged of them."""
    for keys in shards():
        users: Any = client.zrange(keys.learners, 0, _SAMPLE // PARTITIONS)
        for user in (one.decode() for one in users):
            header: Any = client.hget(keys.history(user), HEADER_FIELD)
            version: Any = client.getrange(keys.candidates(user), VERSION_AT, VERSION_AT + VERSION_BYTES - 1)
            if version[16:] != header[:16]:  # the offsets of the last records that changed the learner
                raise AssertionError(f"the list of {user} is behind, and no mark says so")


def _furnish(running: Backends, events: Sequence[LearnerEvent]) -> None:
    """Give the log courses and learners, and train a model of them."""

    async def courses() -> None:
        async with open_producer(running.connections.kafka_bootstrap_servers) as producer:
            await publish_courses(producer, catalogue())

    asyncio.run(courses())
    running.publish(events)
    command = run_module("cli.app", "train", "--force", "--json", "-")
    environment = {**os.environ, **running.environment, **_QUICK_TRAINING}
    subprocess.run(command, env=environment, check=True, capture_output=True, cwd=running.folder)


def _idle(running: Backends, events: int, cores: set[int]) -> tuple[float, float]:
    """Return seconds and CPU seconds of an agent that reads so many events and does nothing."""
    command = run_module("bench.idle_agent", running.connections.kafka_bootstrap_servers, str(events))
    with _child(command, cores, IDLE_AGENT_DIR=str(running.folder / "idle")) as process:
        said = process.communicate(timeout=_PATIENCE_S)[0].split()
    return float(said[0]), float(said[1])


def _timed(work: Callable[[], object], process: "subprocess.Popen[bytes]") -> tuple[float, float]:
    """Return seconds and the process's CPU seconds of some work."""
    before, began = cpu_s(process.pid), time.monotonic()
    work()
    return time.monotonic() - began, cpu_s(process.pid) - before


def measure(events: int = EVENTS, backlog: int = BACKLOG) -> PipelineSpeed:
    """Return the speeds."""
    now_s = int(time.time())
    own, others = _own_core()
    written = iter(list(zipf_events(EVENTS_BEFORE + events + backlog, now_s)))
    before, measured, waiting = ([next(written) for _ in range(number)] for number in (EVENTS_BEFORE, events, backlog))
    with _kept_to(others), backends() as running, redis.Redis.from_url(running.connections.redis_url) as client:
        _furnish(running, before)
        with _worker(running, 1, own) as worker:
            until("the first lists", lambda: is_quiet(client, len(before)), _PATIENCE_S)

            def publish_and_wait() -> None:
                running.publish(measured)
                until("the lists", lambda: is_quiet(client, len(before) + events), _PATIENCE_S)

            ours = _timed(publish_and_wait, worker)
        _check(client)
        idle = _idle(running, len(before) + events, own)
        running.publish(waiting)
        total, began = len(before) + events + backlog, time.monotonic()
        with _worker(running, 1, own | others), _worker(running, 2, own | others):
            until("the backlog", lambda: is_quiet(client, total), _PATIENCE_S)
            backlog_s = time.monotonic() - began
        _check(client)
    return _speed(events, ours, len(before) + events, idle, backlog, backlog_s)


def _speed(
    events: int, ours: tuple[float, float], idle_events: int, idle: tuple[float, float], backlog: int, backlog_s: float
) -> PipelineSpeed:
    rate, idle_rate = events / ours[0], idle_events / idle[0]
    cpu_us, idle_cpu_us = ours[1] / events * 1e6, idle[1] / idle_events * 1e6
    return PipelineSpeed(
        events_per_s=round(rate), ratio=round(rate / idle_rate, 3), idle_events_per_s=round(idle_rate),
        cpu_us_per_event=round(cpu_us, 1), idle_cpu_us_per_event=round(idle_cpu_us, 1),
        cpu_ratio=round(idle_cpu_us / cpu_us, 3), events=events,
        backlog_events_per_s=round(backlog / backlog_s), backlog_events=backlog,
    )  # fmt: skip
