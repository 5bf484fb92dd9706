"""Commands and scripts by the pipelined connection and by the client's own: the same answers, the same errors."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from redis.exceptions import ResponseError

from adapters.redis import Client, Script, Server, ask_all, end_tasks, pairs_of
from tests.waiting import until

SCRIPT: Final = "return {KEYS[1], redis.call('INCR', KEYS[1]), ARGV[1]}"


@pytest.fixture(params=["pipelined", "client's own"])
async def asked(client: Client, request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    """Yield a client that has a pipelined connection, and one that has none."""
    assert isinstance(client, Server)
    if request.param != "pipelined":
        yield client
        return
    running = asyncio.create_task(client.pipeline_commands())
    try:
        await until(lambda: _is_open(client), "a pipelined connection", 20)
        yield client
    finally:
        await end_tasks([running])


async def _is_open(client: Server) -> bool:
    return client.pipelined is not None and client.pipelined.is_open


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Return a script that no server knows."""
    path = tmp_path / "count.lua"
    path.write_text(SCRIPT)
    return Script(path)


async def test_answers_come_in_the_order_of_the_commands(asked: Client) -> None:
    await asked.hset("h", mapping={"a": "1", "b": "2"})
    await asked.zadd("z", {"x": 1, "y": 2.5})
    found = await ask_all(
        asked,
        [("HGETALL", "h"), ("HGETALL", "none"), ("ZRANGE", "z", 0, 9, "REV", "WITHSCORES"),
         ("ZRANDMEMBER", "z", 1, "WITHSCORES"), ("ZRANGE", "none", 0, 9, "WITHSCORES")],
    )  # fmt: skip
    pairs = [[(member, float(value)) for member, value in pairs_of(answer)] for answer in found]
    assert pairs[0] == [(b"a", 1), (b"b", 2)] and pairs[2] == [(b"y", 2.5), (b"x", 1)]
    assert pairs[1] == pairs[4] == [] and pairs[3] in ([(b"x", 1)], [(b"y", 2.5)])


async def test_what_the_server_refuses_is_raised(asked: Client, script: Script) -> None:
    await asked.set("text", "no number")
    with pytest.raises(ResponseError, match=r"WRONGTYPE|wrong kind"):
        await ask_all(asked, [("HGETALL", "text")])
    with pytest.raises(ResponseError, match="not an integer"):
        await script.run(asked, ["text"], ["x"])


async def test_a_script_that_the_server_forgot_is_sent_again(asked: Client, script: Script) -> None:
    assert await script.run(asked, ["n"], ["x"]) == [b"n", 1, b"x"]
    await asked.script_flush()
    assert await script.run(asked, ["n"], [7]) == [b"n", 2, b"7"]
    assert await script.run(asked, ["n"], [b"\r\n"]) == [b"n", 3, b"\r\n"]


async def test_what_is_under_way_when_the_connection_is_lost_goes_by_another(asked: Client, script: Script) -> None:
    await script.run(asked, ["n"], [""])
    await asked.client_pause(400)
    running = [asyncio.create_task(script.run(asked, ["n"], [""])) for _ in range(20)]
    reading = asyncio.create_task(ask_all(asked, [("HGETALL", "none")] * 20))
    await asyncio.sleep(0.05)
    await asked.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    answers = await asyncio.gather(*running)
    assert len({number for _, number, _ in answers}) == 20, "each is run at least once"
    assert [pairs_of(one) for one in await reading] == [[]] * 20
