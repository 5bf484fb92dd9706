"""Whether a server answers: real requests, one attempt each."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import httpx
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from redis.asyncio import Redis
from redis.exceptions import RedisError

ATTEMPT_S: Final = 2.0
PAUSE_S: Final = 0.05


async def until(probe: Callable[[], Awaitable[bool]]) -> None:
    """Return when the probe answers yes: another process decides it, so there is no event to wait for."""
    while not await probe():  # noqa: ASYNC110 - another process decides it
        await asyncio.sleep(PAUSE_S)


async def _accepts(address: str) -> bool:
    host, _, port = address.strip().rpartition(":")
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), ATTEMPT_S)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def kafka_answers(bootstrap_servers: str) -> bool:
    """Return whether a broker answers a metadata request with at least one live broker."""
    attempts = await asyncio.gather(*map(_accepts, bootstrap_servers.split(",")))
    if not any(attempts):
        return False  # the client would log an error at each attempt
    client = AIOKafkaClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=int(ATTEMPT_S * 1000))
    try:
        await client.bootstrap()
        return bool(client.cluster.brokers())
    except KafkaError:
        return False
    finally:
        await client.close()


async def redis_answers(redis_url: str) -> bool:
    """Return whether the server answers PING; one that still loads its data does not."""
    client = Redis.from_url(redis_url, socket_timeout=ATTEMPT_S, socket_connect_timeout=ATTEMPT_S)
    try:
        return bool(await client.ping())
    except (RedisError, OSError):
        return False
    finally:
        await client.aclose()


async def http_answers(url: str) -> bool:
    """Return whether a GET is answered with 200."""
    async with httpx.AsyncClient(timeout=ATTEMPT_S, trust_env=False) as client:
        try:
            return (await client.get(url)).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False


class Heartbeat:
    """Whether a child has touched its file since the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._touched_ns = 0

    async def __call__(self) -> bool:
        """Look once."""
        try:
            touched_ns = self._path.stat().st_mtime_ns
        except OSError:
            return False
        before, self._touched_ns = self._touched_ns, touched_ns
        return touched_ns != before


async def file_exists(path: Path) -> bool:
    """Return whether a child has written its readiness file."""
    return path.exists()
