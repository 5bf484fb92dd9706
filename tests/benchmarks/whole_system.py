"""What the whole system takes on this machine: `python tests/benchmarks/whole_system.py FOLDER [--json FILE]`.

Starts a stack of its own with `coursestream up`, imports the folder, waits for lists and for the first trained model,
then measures freshness over HTTP, resident memory and bytes a learner. Nothing is asserted: figures, not tests.

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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import redis

from adapters.kafka import open_producer
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


def _until(what: str, holds: Any, timeout_s: float = 300.0) -> float:
    """Wait until `holds()`; return the seconds it took."""
    started = time.monotonic()
    while not holds():
        if time.monotonic() - started > timeout_s:
            raise TimeoutError(what)
        time.sleep(0.02)
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
        _until("up", ready_file.exists, 120)
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

    lag_free = _until("lists after import", lambda: has_lists() and not _lag(stack))
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
        out = subprocess.check_output(
            _cli("models", "list", "--state-dir", str(stack.state_dir), "--json", "-"), stderr=subprocess.DEVNULL
        )
        models = json.loads(out)["models"]
        return any(model["state"] == "live" and not model.get("bootstrap") for model in models)

    while not live():
        time.sleep(0.5)
    stack.note("first_model_after_import_s", time.monotonic() - started)
    epoch = stack.redis.hget(SHARED_META, "model_epoch")
    _until("model taken", lambda: stack.redis.hget(SHARED_META, "model_epoch") != epoch or is_quiet(stack, 1), 60)


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


async def _one(pool: "asyncio.Queue[Connection]", user_id: str, course_id: str, found: list[float]) -> None:
    connection = await pool.get()
    event = json.dumps({"type": "enrolled", "user_id": user_id, "course_id": course_id}).encode()
    position = (await connection.ask("POST", "/v1/events", event))["position"]
    acknowledged = time.monotonic()
    path = f"/v1/learners/{user_id}/recommendations?limit=10&after={position}&wait_ms=5000"
    listed = await connection.ask("GET", path)
    found.append((time.monotonic() - acknowledged) * 1_000)
    pool.put_nowait(connection)
    if any(item["course_id"] == course_id for item in listed["items"]):
        raise AssertionError(f"{course_id} was taken and is still listed")


async def _connections(stack: Stack, number: int) -> "asyncio.Queue[Connection]":
    pool: asyncio.Queue[Connection] = asyncio.Queue()
    address = stack.ready["api_url"].removeprefix("http://").split(":")
    for _ in range(number):
        pool.put_nowait(Connection(*await asyncio.open_connection(*address), stack.token))
    return pool


async def _freshness(stack: Stack, rate: int, seconds: int) -> list[float]:
    courses, found = _courses(stack), list[float]()
    random.seed(1)
    pool = await _connections(stack, 100)
    async with asyncio.TaskGroup() as group:
        started = time.monotonic()
        for i in range(rate * seconds):
            await asyncio.sleep(max(0.0, started + i / rate - time.monotonic()))
            group.create_task(_one(pool, f"fresh-{random.randrange(2_000)}", random.choice(courses), found))
    return found


def measure_freshness(stack: Stack) -> None:
    """Note the percentiles from acknowledged to readable."""
    asyncio.run(_freshness(stack, RATE, 3))
    found = asyncio.run(_freshness(stack, RATE, SECONDS))
    for share in (50, 90, 99):
        stack.note(f"freshness_p{share}_ms_at_{RATE}_per_s", float(np.percentile(found, share)))


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
    _until("lists", lambda: is_quiet(stack, merged + sent))
    time.sleep(6)
    after = stack.redis.info("memory")["used_memory"]
    stack.note(f"redis_bytes_a_learner_{registers}_registers", (after - before) / learners)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as stack:
        import_folder(stack, options.folder)
        wait_for_model(stack)
        measure_freshness(stack)
        measure_memory(stack)
        measure_bytes(stack, 1)
        measure_bytes(stack, 3)
        stack.note("cpus", os.cpu_count() or 0)
    if options.json:
        options.json.write_text(json.dumps(stack.figures, indent=2))


if __name__ == "__main__":
    main()
