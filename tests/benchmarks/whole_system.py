"""What the whole system takes on this machine: `python tests/benchmarks/whole_system.py FOLDER [--json FILE]`.

Starts a stack of its own with `coursestream up`, imports the folder, waits for lists and for the first trained model,
then measures freshness over HTTP, resident memory and bytes a learner. Nothing is asserted: figures, not tests.
With `--sweep N` it measures instead, N times, how long another model takes to reach every list while events stream in.

Freshness is measured in open loop: events are sent on a fixed schedule whatever the answers, each is timed from its 202
to the answer of a look-up that waits for its position; a late sender would hide the waits (coordinated omission).
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import redis

from adapters.follow import append_control
from adapters.kafka import open_producer
from schemas.candidates import VERSION_AT, Version, pack_version
from schemas.control import ModelPromoted
from schemas.events import convert_event, encode_event
from schemas.keys import SHARED_CARDS, SHARED_META, ShardKeys
from schemas.topics import LEARNER_EVENTS

PARTITIONS = 16
RATE = 200
SECONDS = 30


@dataclass
class Stack:
    """A running `up` and how to reach it."""

    process: subprocess.Popen[bytes]
    state_dir: Path
    ready: dict[str, Any]
    token: str
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def redis(self) -> "redis.Redis":
        """A client of the stack's Redis."""
        return redis.Redis.from_url(self.ready["redis_url"])

    def note(self, name: str, value: float) -> None:
        """Keep and print one figure."""
        self.figures[name] = value
        print(f"{name:>48}  {value:,.2f}", file=sys.stderr)


def _cli(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "cli.app", *arguments]


def until(what: str, holds: Any, timeout_s: float = 300.0, pause_s: float = 0.02) -> float:
    """Wait until `holds()`; return the seconds it took."""
    started = time.monotonic()
    while not holds():
        if time.monotonic() - started > timeout_s:
            raise TimeoutError(what)
        time.sleep(pause_s)
    return time.monotonic() - started


@contextmanager
def running(state_dir: Path) -> Iterator[Stack]:
    """Start a stack, and stop it."""
    ready_file, started = state_dir / "ready", time.monotonic()
    log = (state_dir / "up.log").open("wb")
    process = subprocess.Popen(
        _cli("up", "--state-dir", str(state_dir), "--port", "0", "--ready-file", str(ready_file)),
        stdout=log,
        stderr=log,
    )
    try:
        until("up", ready_file.exists, 120)
        ready = json.loads(ready_file.read_text())
        scopes = "publisher reader operator admin"
        token = subprocess.check_output(
            _cli("token", "--state-dir", str(state_dir), "--subject", "bench", "--scope", scopes), text=True
        )
        stack = Stack(process, state_dir, ready, token.strip())
        stack.note("up_s", time.monotonic() - started)
        yield stack
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _views() -> list[ShardKeys]:
    return [ShardKeys(shard, 0) for shard in range(PARTITIONS)]


def is_quiet(stack: Stack, expected_end: int) -> bool:
    """Whether every record is merged and no learner is dirty."""
    pipeline = stack.redis.pipeline(transaction=False)
    for keys in _views():
        pipeline.hget(keys.meta, "applied")
        pipeline.zcard(keys.dirty)
    answers = pipeline.execute()
    applied = sum(int(value or -1) + 1 for value in answers[::2])
    return applied >= expected_end and not any(answers[1::2])


def applied_total(stack: Stack) -> int:
    """Return how many records of learner-events are merged."""
    return sum(int(stack.redis.hget(keys.meta, "applied") or -1) + 1 for keys in _views())


def import_folder(stack: Stack, folder: Path) -> int:
    """Import, wait for the lists; return the number of learner events."""
    started = time.monotonic()
    out = subprocess.check_output(
        _cli("import", str(folder), "--state-dir", str(stack.state_dir), "--json", "-"), stderr=subprocess.DEVNULL
    )
    answer = json.loads(out)
    finished = time.monotonic()
    stack.note("import_events", answer["events"])
    stack.note("import_events_per_s", answer["events"] / answer["seconds"])
    stack.note("import_command_s", finished - started)
    client = stack.redis

    def has_lists() -> bool:
        return client.hget(SHARED_META, "model_epoch") is not None and is_quiet(stack, 1)

    lag_free = until("lists after import", lambda: has_lists() and not _lag(stack))
    stack.note("lists_after_last_event_s", lag_free)
    return applied_total(stack)


def _lag(stack: Stack) -> int:
    out = subprocess.check_output(
        _cli("lag", "--state-dir", str(stack.state_dir), "--json", "-"), stderr=subprocess.DEVNULL
    )
    return int(json.loads(out)["lag"])


def wait_for_model(stack: Stack) -> None:
    """Wait until the first trained model is what lists are made with."""
    started = time.monotonic()

    def live() -> bool:
        return any(model["state"] == "live" and not model["bootstrap"] for model in _models(stack))

    while not live():
        time.sleep(0.5)
    stack.note("first_model_after_import_s", time.monotonic() - started)
    epoch = stack.redis.hget(SHARED_META, "model_epoch")
    until("model taken", lambda: stack.redis.hget(SHARED_META, "model_epoch") != epoch or is_quiet(stack, 1), 60)


def _models(stack: Stack) -> list[dict[str, Any]]:
    out = subprocess.check_output(
        _cli("models", "list", "--state-dir", str(stack.state_dir), "--json", "-"), stderr=subprocess.DEVNULL
    )
    models: list[dict[str, Any]] = json.loads(out)["models"]
    return models


def _courses(stack: Stack) -> list[str]:
    names: list[Any] = stack.redis.hkeys(SHARED_CARDS)
    return [name.decode() for name in names]


class Connection:
    """One kept-alive HTTP/1.1 connection: a client so thin that it does not take what it measures."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str) -> None:
        self._reader = reader
        self._writer = writer
        self._headers = f"Host: bench\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"

    async def ask(self, method: str, path: str, body: bytes = b"") -> Any:
        """Send one request; return the answer's JSON."""
        head = f"{method} {path} HTTP/1.1\r\n{self._headers}Content-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(answer.partition("content-length:")[2].partition("\r\n")[0])
        content = await self._reader.readexactly(length)
        if answer.split()[1][0] != "2":
            raise RuntimeError(f"{method} {path} answered {answer.split()[1]}: {content!r}")
        return json.loads(content)


@dataclass
class Fresh:
    """When an event was acknowledged, and how many ms later the changed list was readable; infinite: never."""

    acknowledged: float
    ms: float


async def _one(pool: "asyncio.Queue[Connection]", user_id: str, course_id: str, found: list[Fresh]) -> None:
    connection = await pool.get()
    event = json.dumps({"type": "enrolled", "user_id": user_id, "course_id": course_id}).encode()
    try:
        position = (await connection.ask("POST", "/v1/events", event))["position"]
        acknowledged = time.monotonic()
        path = f"/v1/learners/{user_id}/recommendations?limit=10&after={position}&wait_ms=5000"
        listed = await connection.ask("GET", path)
    except RuntimeError as error:  # an overloaded machine answers 503: that is a figure too
        print(error, file=sys.stderr)
        found.append(Fresh(time.monotonic(), float("inf")))
        return
    finally:
        pool.put_nowait(connection)
    found.append(Fresh(acknowledged, (time.monotonic() - acknowledged) * 1_000))
    if any(item["course_id"] == course_id for item in listed["items"]):
        raise AssertionError(f"{course_id} was taken and is still listed")


async def _connections(stack: Stack, number: int) -> "asyncio.Queue[Connection]":
    pool: asyncio.Queue[Connection] = asyncio.Queue()
    address = stack.ready["api_url"].removeprefix("http://").split(":")
    for _ in range(number):
        pool.put_nowait(Connection(*await asyncio.open_connection(*address), stack.token))
    return pool


async def _freshness(stack: Stack, users: Sequence[str], found: list[Fresh], going: Callable[[int], bool]) -> None:
    """Stream enrolments of these learners at `RATE` for as long as `going(events sent)`."""
    courses, sent = _courses(stack), 0
    random.seed(1)
    pool = await _connections(stack, 100)
    async with asyncio.TaskGroup() as group:
        started = time.monotonic()
        while going(sent):
            await asyncio.sleep(max(0.0, started + sent / RATE - time.monotonic()))
            group.create_task(_one(pool, random.choice(users), random.choice(courses), found))
            sent += 1


def measure_freshness(stack: Stack) -> None:
    """Note the percentiles from acknowledged to readable."""
    users, found = [f"fresh-{i}" for i in range(2_000)], list[Fresh]()
    asyncio.run(_freshness(stack, users, [], lambda sent: sent < RATE * 3))
    asyncio.run(_freshness(stack, users, found, lambda sent: sent < RATE * SECONDS))
    for share in (50, 90, 99):
        stack.note(f"freshness_p{share}_ms_at_{RATE}_per_s", float(np.percentile([one.ms for one in found], share)))


def _learners(stack: Stack) -> list[list[str]]:
    """Return the learners of each shard."""
    found: list[Any] = [stack.redis.zrange(keys.learners, 0, -1) for keys in _views()]
    return [[user.decode() for user in users] for users in found]


def _behind(stack: Stack, shards: Sequence[Sequence[str]], epoch: int) -> int:
    """Return how many learners' lists are not of this model epoch."""
    pipeline, wanted = stack.redis.pipeline(transaction=False), pack_version(Version(epoch, -1, -1, -1))[:8]
    for keys, users in zip(_views(), shards, strict=True):
        for user in users:
            pipeline.getrange(keys.candidates(user), VERSION_AT, VERSION_AT + 7)
    return sum(found != wanted for found in pipeline.execute())


async def _sweep(stack: Stack, version: str) -> None:
    """Put a model live in the middle of a stream of events; note when all lists are its, and the events' freshness."""
    shards, found, swept = _learners(stack), list[Fresh](), asyncio.Event()
    users = [user for shard in shards for user in shard]
    stream = asyncio.create_task(_freshness(stack, users, found, lambda _: not swept.is_set()))
    await asyncio.sleep(5)
    began = time.monotonic()
    epoch = await append_control(stack.ready["kafka"], ModelPromoted(version=version))
    await asyncio.to_thread(until, "the sweep", lambda: not _behind(stack, shards, epoch), pause_s=0.2)
    ended = time.monotonic()
    swept.set()
    await stream
    stack.note("sweep_learners", len(users))
    stack.note("sweep_s", ended - began)
    for name, low, high in (("before", began - 5, began), ("during", began, ended)):
        ms = [one.ms for one in found if low <= one.acknowledged < high]
        stack.note(f"events_{name}_sweep", len(ms))
        for share in (50, 99):
            stack.note(f"freshness_p{share}_ms_{name}_sweep", float(np.percentile(ms, share)))
    stack.note("load_average", os.getloadavg()[0])


def measure_sweeps(stack: Stack, times: int) -> None:
    """Note how the trained model is swept in, coming from another one each time."""
    live = next(model["version"] for model in _models(stack) if model["state"] == "live")
    other = next(model["version"] for model in _models(stack) if model["version"] != live)
    for _ in range(times):
        asyncio.run(append_control(stack.ready["kafka"], ModelPromoted(version=other)))
        time.sleep(15)
        asyncio.run(_sweep(stack, live))


def measure_memory(stack: Stack) -> None:
    """Note the resident memory of all processes of the stack."""
    parent = psutil.Process(stack.process.pid)
    processes = [parent, *parent.children(recursive=True)]
    for process in processes:
        print(f"    {process.memory_info().rss / 1e6:8.0f} MB  {' '.join(process.cmdline())[-60:]}", file=sys.stderr)
    stack.note("resident_mb", sum(process.memory_info().rss for process in processes) / 1e6)


async def _enrol_many(stack: Stack, prefix: str, learners: int, registers: int) -> int:
    courses, sent, now = _courses(stack), 0, int(time.time()) - 10
    async with open_producer(stack.ready["kafka"]) as producer:
        for i in range(learners):
            user_id = f"{prefix}-{i:06d}"
            for course_id in random.sample(courses, 30):
                for kind, value in (("enrolled", None), ("progressed", 0.5), ("rated", 4))[:registers]:
                    body = {
                        "type": kind,
                        "user_id": user_id,
                        "course_id": course_id,
                        "occurred_at": now,
                        "value": value,
                    }
                    body["event_id"] = f"{prefix}{sent}"
                    if value is None:
                        del body["value"]
                    await producer.send(LEARNER_EVENTS, encode_event(convert_event(body)), key=user_id.encode())
                    sent += 1
        await producer.flush()
    return sent


def measure_bytes(stack: Stack, registers: int, learners: int = 1_000) -> None:
    """Note Redis bytes for a learner with 30 courses and a list."""
    time.sleep(6)  # the shared lists are rewritten every 5 s; they must not fall into the difference
    merged, before = applied_total(stack), stack.redis.info("memory")["used_memory"]
    sent = asyncio.run(_enrol_many(stack, f"bytes{registers}", learners, registers))
    until("lists", lambda: is_quiet(stack, merged + sent))
    time.sleep(6)
    after = stack.redis.info("memory")["used_memory"]
    stack.note(f"redis_bytes_a_learner_{registers}_registers", (after - before) / learners)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sweep", type=int, default=0, metavar="N")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as stack:
        import_folder(stack, options.folder)
        wait_for_model(stack)
        if options.sweep:
            measure_sweeps(stack, options.sweep)
        else:
            measure_freshness(stack)
            measure_memory(stack)
            measure_bytes(stack, 1)
            measure_bytes(stack, 3)
        stack.note("cpus", os.cpu_count() or 0)
    if options.json:
        options.json.write_text(json.dumps(stack.figures, indent=2))


if __name__ == "__main__":
    main()
