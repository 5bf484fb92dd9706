"""What learners do in an experiment, as it stands in a real Redis."""

import asyncio
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from adapters import experiments
from adapters.experiments import ExperimentCounts
from adapters.follow import ControlLog
from adapters.kafka import shard_of
from adapters.redis import Client, connect, end_tasks
from schemas.control import ControlState
from schemas.experiments import Arm, Experiment, ExperimentStarted, Figures, add_fields, arm_of, draw_of
from schemas.keys import ShardKeys
from schemas.settings import Connections
from tests.waiting import until

ARMS = tuple(Arm(name=name, strategy="hybrid", share=0.5) for name in ("a", "b"))
EXPERIMENT = Experiment(ExperimentStarted(name="x", salt="s", arms=ARMS), epoch=7, started_ms=0)
PARTITIONS = 4
USERS = [f"u{i}" for i in range(40)]


@pytest.fixture
async def counts(client: Client) -> ExperimentCounts:
    """A counter over an empty server."""
    await client.flushall()
    return ExperimentCounts(client, control())


def control() -> ControlLog:
    """Return what was decided."""
    log = ControlLog("nowhere")
    log.state = ControlState(partitions=PARTITIONS, experiments={"x": EXPERIMENT}, experiment=EXPERIMENT)
    return log


async def figures(client: Client) -> dict[str, Figures]:
    """Return the figures by arm, over all shards."""
    found: dict[str, Figures] = {}
    for shard in range(PARTITIONS):
        fields: Any = await client.hgetall(ShardKeys(shard, 0).experiment(EXPERIMENT.epoch))
        add_fields(found, fields)
    return found


async def test_what_learners_of_an_arm_did_is_added_up(client: Client, counts: ExperimentCounts) -> None:
    for _ in range(2):
        for user_id in USERS:
            counts.add(EXPERIMENT, user_id, lists=1)
            counts.add(EXPERIMENT, user_id, clicks=3, enrolments=2)
        await counts.write()
    sizes = {arm.name: sum(arm_of(one, EXPERIMENT).name == arm.name for one in USERS) for arm in ARMS}
    assert min(sizes.values()) > 5
    assert await figures(client) == {
        name: Figures(learners=size, lists=2 * size, clicks=6 * size, enrolments=4 * size)
        for name, size in sizes.items()
    }
    for shard in {shard_of(user_id, PARTITIONS) for user_id in USERS}:
        keys = ShardKeys(shard, 0)
        for key in (keys.experiment(7), keys.experiment_marks(7)):
            assert 29 * 86_400 < await client.ttl(key) <= 30 * 86_400
    await counts.write()
    assert sum(one.lists for one in (await figures(client)).values()) == 2 * len(USERS)


async def test_who_was_given_no_list_is_not_counted(client: Client, counts: ExperimentCounts) -> None:
    counts.add(EXPERIMENT, "u1", clicks=1, enrolments=1, hit=True)
    await counts.write()
    assert await figures(client) == {}
    counts.add(EXPERIMENT, "u1", lists=1)
    await counts.write()
    counts.add(EXPERIMENT, "u1", clicks=1, enrolments=1, hit=True)
    await counts.write()
    assert list((await figures(client)).values()) == [Figures(1, 1, 1, 1, 1, 1)]


@pytest.mark.parametrize("first", [False, True])
async def test_a_learner_is_tested_once(client: Client, counts: ExperimentCounts, first: bool) -> None:
    counts.add(EXPERIMENT, "u1", lists=1)
    counts.add(EXPERIMENT, "u1", enrolments=1, hit=None)
    counts.add(EXPERIMENT, "u1", enrolments=1, hit=first)
    counts.add(EXPERIMENT, "u1", enrolments=1, hit=not first)
    await counts.write()
    await ExperimentCounts(client, control()).write()
    other = ExperimentCounts(client, control())  # as after a worker was started again
    other.add(EXPERIMENT, "u1", lists=1, enrolments=1, hit=not first)
    await other.write()
    assert list((await figures(client)).values()) == [Figures(1, 2, 0, 4, 1, int(first))]


async def test_of_an_erased_learner_nothing_is_left_that_tells_him_apart(
    client: Client, counts: ExperimentCounts
) -> None:
    marks = ShardKeys(shard_of("u1", PARTITIONS), 0).experiment_marks(7)
    counts.add(EXPERIMENT, "u1", lists=1, hit=True)
    await counts.write()
    assert await client.hkeys(marks) == [draw_of("u1", EXPERIMENT)]
    counts.add(EXPERIMENT, "u1", clicks=9)
    counts.forget("u1")
    counts.add(EXPERIMENT, "u1", enrolments=1, hit=False)  # judged late
    await counts.write()
    assert await client.hkeys(marks) == []
    assert list((await figures(client)).values()) == [Figures(1, 1, 0, 0, 1, 1)]


async def test_an_erased_learner_is_forgotten_once_redis_is_back(
    client: Client, counts: ExperimentCounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = ShardKeys(shard_of("u1", PARTITIONS), 0).experiment_marks(7)
    counts.add(EXPERIMENT, "u1", lists=1)
    await counts.write()
    counts.forget("u1")

    async def away(*_: Any) -> None:
        raise RedisConnectionError("away")

    with monkeypatch.context() as patched:
        patched.setattr(client, "hdel", away)
        await counts.write()
    assert await client.hkeys(marks) == [draw_of("u1", EXPERIMENT)]
    await counts.write()
    assert await client.hkeys(marks) == []


async def test_more_learners_than_are_written_at_once(
    client: Client, counts: ExperimentCounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiments, "_CHUNK", 3)
    for user_id in USERS:
        counts.add(EXPERIMENT, user_id, lists=1)
    await counts.write()
    assert sum(one.learners for one in (await figures(client)).values()) == len(USERS)


async def test_counting_goes_on_while_redis_is_away(
    client: Client, counts: ExperimentCounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = connect(Connections(redis_url="redis://127.0.0.1:1/0"))
    lost = ExperimentCounts(away, control())
    lost.add(EXPERIMENT, "u1", lists=1)
    lost.forget("u2")
    await lost.write()
    await away.aclose()

    monkeypatch.setattr(experiments, "INTERVAL_S", 0.01)
    task = asyncio.create_task(counts.run())
    counts.add(EXPERIMENT, "u1", lists=1)

    async def holds() -> bool:
        return bool(await figures(client))

    await until(holds, "the figures", 10)
    await end_tasks([task])
