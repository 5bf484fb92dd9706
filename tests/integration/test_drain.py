"""The two ways of draining Faust's streams: with either the log is what stands, through a crash and a rebalance."""

import random
from collections.abc import Iterator
from typing import Final

import pytest

from schemas.events import Viewed
from tests import reference
from tests.integration.campus import Tools, enrolled, expect_whole, has_committed, some_event, state_of
from tests.integration.workers import System, connected, publish, running_system, send, shard_of_user
from tests.reference import Logged
from tests.waiting import until

USERS: Final = tuple(f"drained-{i}" for i in range(40))


@pytest.fixture(params=["true", "false"])
def system(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Run a worker that drains its streams this way."""
    with running_system(tmp_path_factory.mktemp("drain"), ("w1",), FAST_DRAIN=request.param) as running:
        yield running


async def _traffic(tools: Tools) -> list[Logged]:
    """Append events in small batches, while a worker is killed and another one joins."""
    dice, log = random.Random(5), list[Logged]()
    for step in range(30):
        log += await publish(tools.producer, [some_event(dice, USERS) for _ in range(50)])
        if step == 10:
            tools.system.kill("w1")
            tools.system.start("w1")
        if step == 20:
            tools.system.start("w2")
    return log


async def test_what_is_drained_is_the_log(system: System) -> None:
    async with connected(system) as (client, producer):
        await system.caught_up(client)
        tools = Tools(system, client, producer)
        log = await _traffic(tools)
        await expect_whole(tools)
        assert await state_of(client) == reference.learners(log)
        viewed = Viewed(event_id="v", user_id="last", course_id="c1", occurred_at=9)
        offsets = (await send(producer, enrolled("last", 9))).offset, (await send(producer, viewed)).offset
        await until(lambda: has_committed(tools, shard_of_user("last").shard, *offsets), "the last commit", 20)
        assert [system.stop(worker)[0] for worker in ("w1", "w2")] == [0, 0]
