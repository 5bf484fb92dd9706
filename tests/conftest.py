"""Fixtures that tests of several packages share: real servers, started once a run, and the real data."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from adapters.redis import Client, connect
from deploy.embedded import EmbeddedStack, embedded
from schemas.settings import Connections
from tests.servers import LOCALES, PROGRAMS, RedisServer, environment_of, program_of, running_redis

ROOT = Path(__file__).parents[1]

# Examples share the fixtures of their test on purpose (each empties the server), and a busy machine is no failure.
settings.register_profile(
    "coursestream", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
settings.register_profile("long", settings.get_profile("coursestream"), max_examples=5_000)
settings.load_profile("coursestream")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """Run a real Kafka and Redis with four shards; use your own user ids, or an own stack for fresh topics."""
    with embedded(tmp_path_factory.mktemp("stack"), partitions=4) as running:
        yield running


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Run a real Redis-protocol server without a Kafka."""
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
async def client(redis_server: RedisServer) -> AsyncIterator[Client]:
    """Connect to `redis_server`, emptied."""
    client = connect(Connections(redis_url=redis_server.redis_url))
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture(scope="session", params=[f"{program}-{locale}" for program in PROGRAMS for locale in LOCALES])
def any_redis_server(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """Run each server that may hold the state, in locales that sort strings differently."""
    program, locale = request.param.split("-")
    folder = tmp_path_factory.mktemp(request.param)
    environment = environment_of(locale, folder / "locale")
    with running_redis(folder / "redis", program_of(program), **environment) as server:
        yield server


@pytest.fixture
async def any_client(any_redis_server: RedisServer) -> AsyncIterator[Client]:
    """Connect to `any_redis_server`, emptied."""
    client = connect(Connections(redis_url=any_redis_server.redis_url))
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Find the folder of real data sets, or skip the test."""
    folder = Path(os.environ.get("COURSESTREAM_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("no real data: set COURSESTREAM_DATA to their folder")
    return folder
