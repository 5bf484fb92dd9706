"""Scripts, eviction policy and patience, on real servers."""

import asyncio
import signal
from collections.abc import Awaitable
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import pytest
from redis.exceptions import NoPermissionError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from adapters import redis
from adapters.redis import (
    MOST_CONNECTIONS,
    Client,
    Script,
    Server,
    check_eviction,
    connect,
    end_tasks,
    is_passing,
    patiently,
)
from schemas.errors import ConfigurationError
from schemas.settings import Connections
from tests.servers import running_redis
from tests.waiting import until

SOURCE = "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])"


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Write a script that sets a key and answers what it holds."""
    path = tmp_path / "set.lua"
    path.write_text(SOURCE)
    return Script(path)


async def calls(client: Client, command: str) -> int:
    stats = await client.info("commandstats")
    return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


async def test_a_script_takes_bytes_text_and_numbers(client: Client, script: Script) -> None:
    assert await script.run(client, ["k"], [b"\x00\xff\r\n"]) == b"\x00\xff\r\n"
    assert await script.run(client, ["k"], ["ü"]) == "ü".encode()
    assert await script.run(client, ["k"], [2**62]) == str(2**62).encode()


async def test_the_source_is_sent_only_to_a_server_that_does_not_know_it(client: Client, script: Script) -> None:
    await client.script_flush()
    await client.config_resetstat()
    for _ in range(3):
        await script.run(client, ["k"], ["v"])
    assert await calls(client, "eval") == 1
    await client.script_flush()
    assert await script.run(client, ["k"], ["again"]) == b"again"
    assert await calls(client, "eval") == 2


async def test_a_script_whose_answer_is_late_by_one_connection_is_run_by_another(
    client: Client, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(client, Server)
    monkeypatch.setattr(redis, "TIMEOUT_S", 0.2)
    keeping = asyncio.create_task(client.pipeline_commands())
    try:

        async def is_open() -> bool:
            return client.pipelined is not None and client.pipelined.is_open

        await until(is_open, "the pipelined connection")
        await client.client_pause(600, all=True)
        assert await script.run_all(client, [(["k"], ["v"]), (["m"], ["w"])]) == [b"v", b"w"]
    finally:
        await end_tasks([keeping])
        client.pipelined = None


async def test_a_server_that_may_evict_is_refused(client: Client) -> None:
    await check_eviction(client)
    try:
        for policy in ("allkeys-lru", "volatile-ttl"):
            await client.config_set("maxmemory-policy", policy)
            with pytest.raises(ConfigurationError, match=f"{policy}.*noeviction"):
                await check_eviction(client)
    finally:
        await client.config_set("maxmemory-policy", "noeviction")


async def error_of(call: Awaitable[object]) -> RedisError:
    with pytest.raises(RedisError) as caught:
        await call
    return caught.value


async def test_errors_of_the_server_pass_and_errors_of_the_call_do_not(client: Client, script: Script) -> None:
    await script.run(client, ["k"], ["v"])
    for refuse, accept in (
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
        (("CONFIG", "SET", "min-replicas-to-write", "1"), ("CONFIG", "SET", "min-replicas-to-write", "0")),
    ):
        await client.execute_command(*refuse)
        try:
            assert is_passing(await error_of(client.set("k", "v")))
            assert is_passing(await error_of(script.run(client, ["k"], ["v"])))
        finally:
            await client.execute_command(*accept)
    assert not is_passing(await error_of(client.hget("k", "field")))
    assert not is_passing(await error_of(client.eval("return redis.call('SET', KEYS[2], 'READONLY')", 1, "OOM")))
    assert not is_passing(NoPermissionError("no permission", status_code="NOPERM"))
    assert not is_passing(ResponseError("ERR a learner called LOADING"))


async def test_an_error_of_the_call_is_raised_at_once(client: Client) -> None:
    with pytest.raises(ResponseError):
        await patiently(lambda: client.eval("return redis.call('GET')", 0))


async def test_a_dead_server_is_waited_for(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        with running_redis(tmp_path) as server:
            client = await stack.enter_async_context(aclosing(connect(Connections(redis_url=server.redis_url))))
            await client.set("k", "kept")
            server.process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(server.process.wait)
            reading = asyncio.create_task(patiently(lambda: client.get("k")))
            await asyncio.sleep(0.3)
            assert not reading.done()
        with running_redis(tmp_path) as again:
            assert again.redis_url == server.redis_url
            assert await asyncio.wait_for(reading, 10) == b"kept"


async def test_patience_ends_although_the_client_loses_the_cancellation() -> None:
    async def losing() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise RedisTimeoutError from None

    with pytest.raises(RedisTimeoutError, match=r"within 0\.05 s"):
        await asyncio.wait_for(patiently(losing, for_s=0.05), 10)


async def test_more_commands_than_connections_wait_for_their_turn(client: Client) -> None:
    answers = await asyncio.gather(*(client.incr("turns") for _ in range(5 * MOST_CONNECTIONS)))
    assert sorted(answers) == list(range(1, 5 * MOST_CONNECTIONS + 1))
    assert (await client.info("clients"))["connected_clients"] <= MOST_CONNECTIONS
