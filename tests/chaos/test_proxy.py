"""The proxy between a worker and its servers: real connections, each mood shown at a real Redis."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.chaos.proxy import Mood, Proxy, kafka_answers
from tests.servers import RedisServer


@pytest.fixture
async def proxy(redis_server: RedisServer) -> AsyncIterator[Proxy]:
    """A proxy before a real server."""
    port = int(redis_server.redis_url.removesuffix("/0").rpartition(":")[2])
    async with Proxy(port) as running:
        yield running


@pytest.fixture
async def behind(proxy: Proxy) -> AsyncIterator[Redis]:
    """A client of the proxy that gives up soon."""
    client = Redis(port=proxy.port, socket_timeout=0.5, retry=Retry(NoBackoff(), 0))
    yield client
    await client.aclose()


async def test_everything_passes_a_calm_proxy(proxy: Proxy, behind: Redis) -> None:
    await behind.set("passes", b"x" * 300_000)
    assert await behind.get("passes") == b"x" * 300_000
    assert proxy.passed > 600_000


async def test_a_slow_proxy_delays_each_piece(proxy: Proxy, behind: Redis) -> None:
    await behind.ping()
    proxy.mood = Mood(delay_s=0.15)
    began = asyncio.get_running_loop().time()
    await behind.ping()
    assert asyncio.get_running_loop().time() - began >= 0.3  # there and back
    assert proxy.delayed == 2


async def test_a_half_open_connection_takes_and_gives_nothing(proxy: Proxy, behind: Redis) -> None:
    await behind.ping()
    proxy.mood = Mood(swallows=True)
    with pytest.raises(RedisTimeoutError):
        await behind.ping()
    assert proxy.swallowed == 1


async def test_a_cut_ends_every_connection_and_the_next_one_passes(proxy: Proxy, behind: Redis) -> None:
    await behind.ping()
    assert (proxy.cut_all(), proxy.cut) == (1, 1)
    with pytest.raises(RedisConnectionError):
        await behind.ping()
    assert await behind.ping()


async def test_a_brokers_answer_names_the_proxy_however_it_is_cut_into_pieces() -> None:
    reader = asyncio.StreamReader()
    answer = b"\x00\x09127.0.0.1" + (29_092).to_bytes(4, "big") + b" and more"
    framed = len(answer).to_bytes(4, "big") + answer
    reader.feed_data(framed[:17])
    reading = asyncio.create_task(kafka_answers(29_092, 31_000)(reader))
    await asyncio.sleep(0)
    reader.feed_data(framed[17:])
    reader.feed_eof()
    assert await reading == framed.replace((29_092).to_bytes(4, "big"), (31_000).to_bytes(4, "big"))
    assert await kafka_answers(29_092, 31_000)(reader) == b""
