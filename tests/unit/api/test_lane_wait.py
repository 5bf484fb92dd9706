"""Look-ups that wait for a position, by the fast lane: woken by a notice, bounded by `wait_ms`."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import pytest

from adapters.redis import end_tasks
from api.changes import Changes
from schemas.candidates import Candidate, Source, Strategy
from schemas.experiments import Arm, Experiment, ExperimentStarted
from schemas.keys import CHANGED
from schemas.pending import Pending, pack_pending
from schemas.registers import Rank
from tests.lane_requests import usual
from tests.lane_worlds import COURSES, House, house_over, plain_learner
from tests.servers import running_redis
from tests.waiting import until

AFTER = "?after=learner-events:0:{}&wait_ms={}"


async def is_heard(changes: Changes) -> bool:
    """Return whether notices come."""
    return changes.is_heard


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Both ways, the fast one with its token and cards known, and hearing notices."""
    with running_redis(tmp_path) as server:
        async for house in house_over(server.redis_url):
            plain_learner(house)
            await house.fast.answer(usual())
            changes = house.fast.services.changes
            listening = asyncio.create_task(changes.run())
            await until(partial(is_heard, changes), "notices")
            yield house
            await end_tasks([listening])


def list_of(house: House, offset: int) -> None:
    """Write a list that was made from the events up to an offset."""
    own = [Candidate(one, 9.0 - i / 8, (1.0,) * 5, Source.CONTENT, None) for i, one in enumerate(COURSES[20:50])]
    house.state.write_list("u1", own, offset)


async def test_a_notice_ends_the_wait(house: House) -> None:
    house.state.redis.zadd(house.state.keys("u1").dirty, {"u1": 1.0})
    waiting = asyncio.create_task(house.fast.answer(usual(query=AFTER.format(150, 5_000))))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    list_of(house, 150)
    house.state.redis.publish(CHANGED, msgspec.msgpack.encode(["u1"]))
    answer = await asyncio.wait_for(waiting, 2)
    assert b"learner-events:0:150" in answer and COURSES[20].encode() in answer
    assert house.fast.app.requests == 1  # which made the token known
    assert not house.fast.services.changes._followers


async def test_without_a_notice_it_is_seen_soon(house: House) -> None:
    house.state.redis.zadd(house.state.keys("u1").dirty, {"u1": 1.0})
    waiting = asyncio.create_task(house.fast.answer(usual(query=AFTER.format(150, 5_000))))
    await asyncio.sleep(0.1)
    list_of(house, 150)
    assert b"learner-events:0:150" in await asyncio.wait_for(waiting, 2)


async def test_what_does_not_come_is_waited_for_once(house: House) -> None:
    """The list as it stands, after the time that was asked for; also where the ordinary route has to answer."""
    for _ in range(2):
        began = time.monotonic()
        answer = await house.fast.answer(usual(query=AFTER.format(500, 400)))
        assert answer[9:12] == b"200"
        assert 0.4 <= time.monotonic() - began < 0.75
        pending = pack_pending(Pending(500, Rank.ENROLLED))  # the lane does not know what to do with that
        house.state.redis.hset(house.state.keys("u1").pending("u1"), COURSES[0], pending)
    assert house.fast.app.requests == 2


@pytest.mark.parametrize("strategy", ["hybrid", "popular"])
async def test_an_experiment_that_starts_or_ends_meanwhile_counts_as_by_the_ordinary_way(
    house: House, strategy: Strategy
) -> None:
    house.state.redis.zadd(house.state.keys("u1").dirty, {"u1": 1.0})
    arms = tuple(Arm(name=f"arm{i}", strategy=strategy, share=0.5) for i in range(2))
    record = ExperimentStarted(name="both", salt="s", arms=arms)
    without = house.control.state
    running = replace(without, experiment=Experiment(record, epoch=7, started_ms=0))
    for before, after in ((running, without), (without, running)):
        answers = set()
        for served in (house.fast, house.ordinary):
            house.control.state = before
            waiting = asyncio.create_task(served.answer(usual(query=AFTER.format(150, 300))))
            await asyncio.sleep(0.1)
            house.control.state = after
            answers.add(tuple(re.findall(rb'"(?:strategy|experiment|arm)":[^,}]*', await waiting)))
        assert len(answers) == 1
