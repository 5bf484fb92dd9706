"""A whole system of the bench's own: `coursestream up` over a temporary folder, and what tells when it is quiet."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import redis

from deploy.this_python import run_module
from schemas.keys import SHARED_CARDS, SHARED_META, ShardKeys

PARTITIONS: Final = 16
QUIET_TRAINER: Final = {"REFIT_EVENTS": "1000000000", "REFIT_MINUTES": "100000"}
"""The first model is trained, and no second one beside what is measured."""

_STOP_S: Final = 30.0
_SCOPES: Final = "publisher reader operator admin"


def until(what: str, holds: Callable[[], Any], timeout_s: float = 300.0, pause_s: float = 0.02) -> float:
    """Wait until `holds()`; return the seconds it took. Raises TimeoutError."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > timeout_s:
            raise TimeoutError(what)
        time.sleep(pause_s)
    return time.monotonic() - began


def shards(generation: int = 0) -> list[ShardKeys]:
    """Return the keys of all shards."""
    return [ShardKeys(shard, generation) for shard in range(PARTITIONS)]


def is_quiet(client: "redis.Redis", events: int) -> bool:
    """Whether so many records are merged, every shard is live, and no list is behind."""
    pipeline = client.pipeline(transaction=False)
    for keys in shards():
        pipeline.hmget(keys.meta, "applied", "status")
        pipeline.zcard(keys.dirty)
    answers = pipeline.execute()
    merged = sum(int(applied or -1) + 1 for applied, _ in answers[::2])
    return merged >= events and not any(answers[1::2]) and all(status == b"live" for _, status in answers[::2])


@dataclass
class Stack:
    """A running `up` and how to reach it."""

    process: "subprocess.Popen[bytes]"
    state_dir: Path
    ready: dict[str, Any]
    token: str
    up_s: float
    figures: dict[str, float] = field(default_factory=dict)

    def note(self, name: str, value: float) -> None:
        """Keep and print one figure."""
        self.figures[name] = value
        print(f"{name:>48}  {value:,.2f}", file=sys.stderr)

    @property
    def redis(self) -> "redis.Redis":
        """A client of the stack's Redis."""
        return redis.Redis.from_url(self.ready["redis_url"])

    def call(self, *words: str) -> Any:
        """Run a command on the stack; return its JSON."""
        command = run_module("cli.app", *words, "--state-dir", str(self.state_dir), "--json", "-")
        return json.loads(subprocess.check_output(command, stderr=subprocess.DEVNULL))

    def course_ids(self) -> list[str]:
        """Return the courses that have a card."""
        names: list[Any] = self.redis.hkeys(SHARED_CARDS)
        return [name.decode() for name in names]

    def applied(self) -> int:
        """Return how many records of `learner-events` are merged."""
        return sum(int(self.redis.hget(keys.meta, "applied") or -1) + 1 for keys in shards())

    def is_quiet(self, events: int) -> bool:
        """Whether so many records are merged, every shard is live, and no list is behind."""
        return is_quiet(self.redis, events)

    def models(self) -> list[dict[str, Any]]:
        """Return the versions, with what they are."""
        models: list[dict[str, Any]] = self.call("models", "list")["models"]
        return models

    def wait_for_model(self) -> float:
        """Wait until lists are made with the first trained model; return the seconds."""
        began = time.monotonic()
        until(
            "a model", lambda: any(one["state"] == "live" and not one["bootstrap"] for one in self.models()), 600, 0.5
        )
        trained_s = time.monotonic() - began
        epoch = self.redis.hget(SHARED_META, "model_epoch")
        until("lists of it", lambda: self.redis.hget(SHARED_META, "model_epoch") != epoch or self.is_quiet(1), 60)
        return trained_s


@contextmanager
def running_up(workers: int = 2) -> Iterator[Stack]:
    """Start a system over a temporary folder, and stop it."""
    with (
        tempfile.TemporaryDirectory(prefix="coursestream-bench-") as folder,
        running_in(Path(folder), workers) as stack,
    ):
        yield stack


@contextmanager
def running_in(state_dir: Path, workers: int = 2) -> Iterator[Stack]:
    """Start a system over a folder, and stop it."""
    ready_file, began = state_dir / "ready", time.monotonic()
    place = ("--state-dir", str(state_dir))
    words = ("up", *place, "--port", "0", "--workers", str(workers), "--ready-file", str(ready_file))
    with (state_dir / "up.log").open("wb") as log:
        process = subprocess.Popen(
            run_module("cli.app", *words), stdout=log, stderr=log, env={**os.environ, **QUIET_TRAINER}
        )
    try:
        until("up", lambda: ready_file.exists() or process.poll() is not None)
        if process.poll() is not None:
            raise RuntimeError((state_dir / "up.log").read_text(errors="replace")[-2_000:])
        token = subprocess.check_output(
            run_module("cli.app", "token", *place, "--subject", "bench", "--scope", _SCOPES), text=True
        )
        ready = json.loads(ready_file.read_text())
        yield Stack(process, state_dir, ready, token.strip(), time.monotonic() - began)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_STOP_S)
