"""A real Redis-protocol server alone, for tests that need no Kafka: ready in 50 ms."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

import deploy.child
from deploy.lock import locked
from deploy.redis import EmbeddedRedis


@dataclass(frozen=True)
class RedisServer:
    """A running server over a folder; the same folder gives the same address and data again."""

    redis_url: str
    process: subprocess.Popen[bytes]


@contextmanager
def running_redis(folder: Path, **environment: str) -> Iterator[RedisServer]:
    """Start the embedded server with these environment variables; it ends with the context, or with this process."""
    with locked(folder) as lock:
        embedded = EmbeddedRedis(folder, lock)
        child = embedded.prepare()
        process = subprocess.Popen(
            (sys.executable, "-I", "-S", str(deploy.child.__file__), str(os.getpid()), *child.command),
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
