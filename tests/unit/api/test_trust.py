"""When a shard's state counts as all that was acknowledged, and what is done without a Redis that is away."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from adapters.follow import ControlLog
from adapters.redis import Client, connect, end_tasks
from api.lookup import Learners
from api.shard_watch import ShardWatch
from api.trust import Trust
from schemas.control import ControlState
from schemas.keys import ShardKeys
from schemas.settings import Connections
from tests.servers import RedisServer, running_redis

USER = "u1"
META = ShardKeys(0, 0).meta


class Log:
    """Where the log ends, once somebody has read it."""

    def __init__(self) -> None:
        self.end: int | None = 10
        self.read_at = float("inf")
        self.hurried = 0

    def end_since(self, shard: int, moment: float) -> int | None:
        """Return the end if it was read after the moment."""
        return self.end if self.read_at > moment else None

    def hurry(self) -> None:
        """Count that it is wanted."""
        self.hurried += 1


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with running_redis(tmp_path) as running:
        yield running


class House:
    """One shard, seen by one process of the API."""

    def __init__(self, client: Client) -> None:
        self.client, self.log, self.told = client, Log(), 0
        control = ControlLog("unused:1")
        control.state = ControlState(partitions=1)
        self.watch = ShardWatch(client, control, Trust(self.log), 0.05, 1.0, self._tell)
        self.learners = Learners(client, control, self.watch, timeout_s=1.0)

    def _tell(self) -> None:
        self.told += 1

    async def write_meta(self, applied: int, nonce: str = "a", status: str = "live") -> None:
        """Say where the shard stands."""
        fields = {"generation": "0", "status": status, "nonce": nonce, "applied": str(applied)}
        await self.client.hset(META, mapping=fields)  # type: ignore[arg-type]  # wider than dict is invariant

    async def is_whole(self) -> bool:
        """Whether a look-up counts as whole."""
        return (await self.learners.look_up(USER)).is_whole


@pytest.fixture
async def house(server: RedisServer) -> AsyncIterator[House]:
    client = connect(Connections(redis_url=server.redis_url))
    house = House(client)
    await house.learners.prepare()
    yield house
    await client.aclose()


async def test_a_shard_is_proved_by_having_applied_where_the_log_ended(house: House) -> None:
    house.log.read_at = 0.0
    await house.write_meta(9)
    assert not await house.is_whole()  # nobody has read the end since
    house.log.read_at = float("inf")
    await house.write_meta(8)
    assert not await house.is_whole()
    await house.write_meta(9)
    assert await house.is_whole()
    house.log.end = 20
    assert await house.is_whole()  # it lags, and lacks nothing: the rest is pending


async def test_a_server_that_has_forgotten_the_script_is_doubted_by_the_very_look_up(house: House) -> None:
    await house.write_meta(9)
    assert await house.is_whole()
    await house.client.script_flush()
    hurried = house.log.hurried
    house.log.end = 12
    assert not await house.is_whole() and house.log.hurried == hurried + 1
    assert not await house.is_whole()
    await house.write_meta(11)
    assert await house.is_whole()


async def test_another_process_that_knows_a_restarted_server_takes_nobodys_doubt_away(house: House) -> None:
    other = House(house.client)
    await other.learners.prepare()
    await house.write_meta(9)
    assert await house.is_whole() and await other.is_whole()
    await house.client.script_flush()
    house.log.end = other.log.end = 12
    assert not await house.is_whole()
    assert not await other.is_whole()


async def test_a_state_that_was_read_before_the_doubt_proves_nothing(house: House) -> None:
    trust = house.watch.trust
    before = trust.doubted_at(0)
    trust.doubt_all()
    assert not trust.is_proved(0, 100, before)
    assert trust.is_proved(0, 100, trust.doubted_at(0))
    trust.doubt(0)
    house.log.end = 200
    assert not trust.is_proved(0, 100, trust.doubted_at(0))


@pytest.mark.parametrize(("applied", "nonce"), [(8, "a"), (9, "b")])
async def test_a_state_that_went_back_or_is_anothers_is_doubted(house: House, applied: int, nonce: str) -> None:
    await house.write_meta(9)
    await house.watch.look()
    assert await house.is_whole() and house.watch.degraded_shards == []
    house.log.end = 11
    await house.write_meta(applied, nonce)
    await house.watch.look()
    assert not await house.is_whole() and house.watch.degraded_shards == [0]
    await house.write_meta(10, nonce)
    await house.watch.look()
    assert await house.is_whole() and house.watch.degraded_shards == []


async def test_followers_are_woken_when_a_shard_ceases_to_be_whole_and_when_it_is_again(house: House) -> None:
    await house.watch.look()
    assert house.told == 0
    for told, status in enumerate(("live", "building", "live"), start=1):
        await house.write_meta(9, status=status)
        await house.watch.look()
        await house.watch.look()
        assert house.told == told
    house.watch.trust.doubt_all()
    await house.watch.look()
    assert house.told == 4  # somebody may have been told in between that it was doubted


@contextmanager
def held(server: RedisServer) -> Iterator[None]:
    """Let the server hang."""
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


async def test_after_one_failure_nobody_waits_until_the_server_answers_again(house: House, server: RedisServer) -> None:
    await house.write_meta(9)
    assert await house.is_whole()
    with held(server):
        with pytest.raises(TimeoutError):
            await house.learners.look_up(USER)
        for _ in range(50):
            with pytest.raises(RedisConnectionError, match="away for shard 0"):
                await house.learners.look_up(USER)  # a server that hangs would not say so
        await house.watch.look()
        assert house.watch.degraded_shards == [0] and house.watch.applied == {}
    watching = asyncio.create_task(house.watch.run())
    await _until(lambda: house.watch.degraded_shards == [])
    await end_tasks([watching])
    assert await house.is_whole()


async def test_an_error_of_the_call_itself_closes_nothing(house: House) -> None:
    await house.client.set(META, "no hash")
    with pytest.raises(RedisError, match="WRONGTYPE"):
        await house.learners.look_up(USER)
    await house.client.delete(META)
    assert not await house.is_whole()  # answered, not refused


async def _until(holds: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end_s
        await asyncio.sleep(0.02)
