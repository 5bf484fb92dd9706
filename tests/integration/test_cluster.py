"""Workers and API on a real Redis Cluster: nodes die and are emptied, slots move; the state is what the log says."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import Any, Final

import httpx
import pytest
from redis.crc import key_slot

from adapters.redis import end_tasks
from schemas.candidates import unpack_version
from schemas.keys import SHARED_POPULAR
from tests import reference
from tests.api_server import running_api
from tests.cluster import Cluster, running_cluster, slot_of
from tests.integration.campus import COURSE_IDS, Tools, enrolled, expect_whole, state_of, streaming
from tests.integration.workers import PARTITIONS, System, connected, publish, running_system, send, shard_of_user
from tests.waiting import until

pytestmark = pytest.mark.timeout(900)
KILLED: Final = 3
"""The only shard of the first node."""


class Stage:
    """What the tests share."""

    def __init__(self, cluster: Cluster, system: System, api: httpx.Client) -> None:
        self.cluster, self.system, self.api = cluster, system, api


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("cluster")
    with ExitStack() as exits:
        cluster = exits.enter_context(running_cluster(folder / "nodes"))
        url = cluster.redis_url
        system = exits.enter_context(running_system(folder, ["w1", "w2"], redis_url=url, REDIS_CLUSTER="true"))
        kafka = system.stack.bootstrap_servers
        yield Stage(
            cluster, system, exits.enter_context(running_api(kafka, url, REDIS_CLUSTER="true", READ_TIMEOUT_S="5"))
        )


@pytest.fixture
async def tools(stage: Stage) -> AsyncIterator[Tools]:
    async with connected(stage.system) as (client, producer):
        await stage.system.caught_up(client)
        yield Tools(stage.system, client, producer)
        stage.system.expect_alive()
        assert "CROSSSLOT" not in stage.system.log()


def users_of(shard: int, name: str, number: int = 5) -> list[str]:
    """Return so many learners of a shard."""
    found = (f"{name}-{i}" for i in range(10_000))
    return [user for user in found if shard_of_user(user).shard == shard][:number]


async def recommended(stage: Stage, user_id: str) -> dict[str, Any]:
    """Return a learner's list; it is always answered."""
    answer = await asyncio.to_thread(stage.api.get, f"/v1/learners/{user_id}/recommendations?limit=100")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert body["items"]
    return body


async def until_whole(stage: Stage, user_id: str) -> None:
    """Wait until a learner's answers are whole."""

    async def holds() -> bool:
        return not (await recommended(stage, user_id))["degraded"]

    await until(holds, f"a whole answer for {user_id}")


@asynccontextmanager
async def enrolling(stage: Stage, users: list[str]) -> AsyncIterator[dict[str, set[str]]]:
    """Enrol over HTTP and look at once, for as long as the context lasts; no whole list may show what was taken."""
    taken: dict[str, set[str]] = {user: set() for user in users}

    async def act() -> None:
        for step in range(10_000):
            user = users[step % len(users)]
            course = COURSE_IDS[step // len(users) % 9]
            answer = await asyncio.to_thread(stage.api.post, f"/v1/learners/{user}/courses/{course}/enrol")
            assert answer.status_code in (202, 503), answer.text
            if answer.status_code == 202:
                taken[user].add(course)
            found = await recommended(stage, user)
            assert found["degraded"] or not taken[user] & {item["course_id"] for item in found["items"]}

    task = asyncio.create_task(act())
    try:
        yield taken
        assert not task.done(), task.exception()
    finally:
        await end_tasks([task])


async def expect_taken(tools: Tools, taken: dict[str, set[str]]) -> None:
    """What was acknowledged must be in the state."""
    states = await state_of(tools.client)
    assert all(courses <= set(states[user].courses) for user, courses in taken.items() if courses)
    assert any(taken.values())


async def test_while_a_node_is_away_its_shards_wait_and_the_others_go_on(stage: Stage, tools: Tools) -> None:
    node = stage.cluster.owner(slot_of(KILLED))
    assert [shard for shard in range(PARTITIONS) if stage.cluster.owner(slot_of(shard)) is node] == [KILLED]
    away, here = users_of(KILLED, "away")[0], users_of(0, "here")[0]
    await publish(tools.producer, [enrolled(away, 1), enrolled(here, 1)])
    await tools.system.caught_up(tools.client)
    async with streaming(tools, [f"node-{i}" for i in range(20)], rate=50) as log:
        node.kill()
        lost = await send(tools.producer, enrolled(away, 2, "c01"))
        for step in range(2, 5):  # the agent meets the dead node, and goes on all the same
            sent = await send(tools.producer, enrolled(here, step, f"c0{step}"))
            await until(partial(_listed_from, tools, here, sent.offset), "a list of another shard", 240)
        await until_whole(stage, here)
        assert (await recommended(stage, away))["degraded"]
        node.start()
        await until(lambda: asyncio.to_thread(stage.cluster.is_whole), "the node among the others")
    await expect_whole(tools)
    await until_whole(stage, away)
    states = await state_of(tools.client)
    assert {user: state for user, state in states.items() if user.startswith("node-")} == reference.learners(log)
    assert set(states[away].courses) == {"c05", "c01"} and lost.partition == KILLED


async def _listed_from(tools: Tools, user_id: str, offset: int) -> bool:
    """Whether a learner's list was made from the event at an offset."""
    packed: Any = await tools.client.get(shard_of_user(user_id).candidates(user_id))
    return packed is not None and unpack_version(packed).learner_offset >= offset


async def test_a_slot_moves_in_the_midst_of_traffic(stage: Stage, tools: Tools) -> None:
    """Half of its keys are here, half there: scripts over both are told to try again, and no key is read as absent."""
    shard = 1
    slot, users = slot_of(shard), users_of(shard, "mover", 30)
    first = await publish(tools.producer, [enrolled(user, 1) for user in users])
    await tools.system.caught_up(tools.client)
    before = await tools.system.metas(tools.client)
    source = stage.cluster.owner(slot)
    target = next(node for node in stage.cluster.nodes if node is not source)
    async with streaming(tools, users, rate=100) as log, enrolling(stage, users_of(shard, "http", 3)) as taken:
        moved = await asyncio.to_thread(stage.cluster.move, slot, target, lambda: time.sleep(1.5))
        await asyncio.sleep(0.5)
    assert moved > 2 * len(users) and stage.cluster.owner(slot) is target
    await expect_whole(tools)
    await expect_taken(tools, taken)
    states = await state_of(tools.client)
    wanted = reference.learners([*first, *log])
    assert {user: states.get(user) for user in users} == {user: wanted.get(user) for user in users}
    after = await tools.system.metas(tools.client)
    assert [meta and meta.nonce for meta in after] == [meta and meta.nonce for meta in before], "nothing was rebuilt"


async def test_a_node_is_emptied_and_its_shards_are_rebuilt(stage: Stage, tools: Tools) -> None:
    """The node that holds the shared keys goes too: they are written again."""
    node, users = stage.cluster.owner(slot_of(KILLED)), users_of(KILLED, "emptied", 3)
    assert stage.cluster.owner(key_slot(SHARED_POPULAR.encode())) is node
    before = (await tools.system.metas(tools.client))[KILLED]
    async with enrolling(stage, users) as taken:
        await asyncio.to_thread(node.ask, "FLUSHALL")

        async def holds() -> bool:
            return bool(await tools.client.exists(SHARED_POPULAR))

        await until(holds, "the shared lists")
        await until_whole(stage, users[0])
    await expect_whole(tools)
    await expect_taken(tools, taken)
    after = (await tools.system.metas(tools.client))[KILLED]
    assert before and after and before.nonce != after.nonce


async def test_notices_of_changes_reach_followers_whatever_node_they_are_said_on(stage: Stage, tools: Tools) -> None:
    for shard in range(PARTITIONS):
        user = users_of(shard, "followed")[0]
        told: list[str] = []

        def follow(user: str = user, told: list[str] = told) -> None:
            with stage.api.stream("GET", f"/v1/learners/{user}/changes", timeout=120) as answer:
                for line in answer.iter_lines():
                    if line.startswith("data: "):
                        told.append(line)
                    if len(told) == 2:
                        return

        following = asyncio.create_task(asyncio.to_thread(follow))

        async def holds(told: list[str] = told) -> bool:
            return bool(told)

        await until(holds, "the list that stands")
        await send(tools.producer, enrolled(user, 1))
        await asyncio.wait_for(following, 100)
        assert told[0] != told[1]
