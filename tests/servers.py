"""A real Redis-protocol server alone, for tests that need no Kafka: ready in 50 ms."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from deploy.lock import locked
from deploy.redis import EmbeddedRedis
from deploy.this_python import dying_with_us


@dataclass(frozen=True)
class RedisServer:
    """A running server over a folder; the same folder gives the same address and data again."""

    redis_url: str
    process: subprocess.Popen[bytes]


PROGRAMS: Final = ("valkey", "redis")
"""The server that the embedded stack runs, and Redis itself, which not every machine has."""
LOCALES: Final = ("C", "en_US")
"""What a server's Lua compares strings by: bytes, or a dictionary's order."""


def program_of(name: str) -> Path | None:
    """Return the program of a server, None for the embedded one; skip the test where it is not installed."""
    if name == "valkey":
        return None
    found = shutil.which("redis-server")
    if found is None:
        pytest.skip("no redis-server on this machine: this test has run on the embedded server alone")
    return Path(found)


def environment_of(locale: str, folder: Path) -> dict[str, str]:
    """Return the environment of a locale; in `en_US`, built below `folder`, "a" sorts before "B", "é" next to "e"."""
    if locale != "en_US":
        return {"LC_ALL": locale, "LOCPATH": os.environ.get("LOCPATH", "")}
    if shutil.which("localedef") is None:
        pytest.skip("no localedef on this machine")
    target = folder / "en_US.ISO-8859-1"
    target.parent.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(("localedef", "-i", "en_US", "-f", "ISO-8859-1", str(target)), capture_output=True)
    if made.returncode > 1:
        pytest.skip("the machine has no sources of locales")
    return {"LOCPATH": str(folder), "LC_ALL": target.name}


@contextmanager
def running_redis(folder: Path, program: Path | None = None, **environment: str) -> Iterator[RedisServer]:
    """Start a server, the embedded one unless told otherwise, with these environment variables; it ends with us."""
    with locked(folder) as lock:
        embedded = EmbeddedRedis(folder, lock)
        (child,) = embedded.prepare()
        carried, *settings = child.command
        command = (str(program or carried), *settings)
        process = subprocess.Popen(
            dying_with_us(*command),
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            pass_fds=child.descriptors,
        )
        try:
            retry = Retry(ConstantBackoff(0.02), 500, (RedisConnectionError,))
            with Redis.from_url(embedded.redis_url, retry=retry) as client:
                client.ping()
            yield RedisServer(embedded.redis_url, process)
        finally:
            process.kill()
            process.wait()
