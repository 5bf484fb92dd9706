"""A worker that is stopped with work in its hands, taken for dead, and goes on when the world has changed."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.follow import append_control
from adapters.redis import end_tasks
from schemas.candidates import unpack_candidates
from schemas.keys import ShardKeys
from schemas.meta import Status
from stream.replay import rebuild
from tests import reference
from tests.integration.campus import Tools, enrolled, expect_whole, owners_of, state_of
from tests.integration.workers import PARTITIONS, System, connected, publish, running_system, shard_of_user
from tests.models import going_live, store_bundle
from tests.waiting import until

PLANTED = "tests.integration.planted"
USERS = [f"zombie-{i}" for i in range(60)]
STALL_S = "8"


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    """Run a stack; the workers are the test's."""
    with running_system(tmp_path, ["first"]) as running:
        running.stop("first")
        yield running


@pytest.fixture
async def tools(system: System) -> AsyncIterator[Tools]:
    """Connect."""
    async with connected(system) as (client, producer):
        yield Tools(system, client, producer)


def is_stopped(pid: int) -> bool:
    """Return whether a process was stopped."""
    return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] == "T"


async def stopped(tools: Tools, kind: str) -> int:
    """Start a worker that stops itself just before it sends what it holds to the server; return its process id."""
    system = tools.system
    system.start("a", (PLANTED, kind, str(system.folder)), STALL_S=STALL_S)
    await publish(tools.producer, [enrolled(user, 1) for user in USERS])
    await system.caught_up(tools.client)
    (system.folder / "go").touch()
    pid = system.processes["a"].pid
    await publish(tools.producer, [enrolled(user, 2, "c06") for user in USERS])

    async def holds() -> bool:
        return is_stopped(pid)

    await until(holds, "the worker stopped in mid-work")
    return pid


async def taken_over(tools: Tools) -> None:
    """Start another worker, and wait until it has all shards."""
    tools.system.start("b")

    async def holds() -> bool:
        owners = await owners_of(tools.system)
        return len(owners) == 2 * PARTITIONS and all(owner.startswith("b-") for owner in owners.values())

    await until(holds, "the other worker has all shards")


async def back(tools: Tools, pid: int) -> None:
    """Let the worker go on, and wait until it is a member that has its share again."""
    os.kill(pid, signal.SIGCONT)

    async def holds() -> bool:
        tools.system.expect_alive()
        return {owner[:1] for owner in (await owners_of(tools.system)).values()} == {"a", "b"}

    await until(holds, "the worker is a member again")
    assert tools.system.processes["a"].pid == pid, "the same process: it was not bitten for the time it stood still"


async def test_a_batch_from_before_changes_nothing_and_touches_no_retired_generation(tools: Tools) -> None:
    system, client = tools.system, tools.client
    pid = await stopped(tools, "merging")
    await taken_over(tools)
    log = await publish(tools.producer, [enrolled(user, 3, "c07") for user in USERS])
    await system.caught_up(client)
    result = await rebuild(system.connections, swap=True)
    await system.caught_up(client, result.generation)

    async def retired() -> list[dict[bytes, bytes]]:
        found: list[Any] = [await client.hgetall(ShardKeys(shard, 0).meta) for shard in range(PARTITIONS)]
        return found

    async def holds() -> bool:
        return all(meta[b"status"] == Status.RETIRED.encode() and b"emptied" in meta for meta in await retired())

    await until(holds, "the old generation is retired and emptied")
    before, state = await retired(), await state_of(client, result.generation)
    await back(tools, pid)
    await system.caught_up(client, result.generation)
    assert await retired() == before
    for shard in range(PARTITIONS):
        assert await client.keys(f"{ShardKeys(shard, 0).prefix}*") == [ShardKeys(shard, 0).meta.encode()]
    assert await state_of(client, result.generation) == state
    assert all(set(state[entry.event.user_id].courses) == {"c05", "c06", "c07"} for entry in log)
    assert reference.learners(log).keys() == set(USERS)


async def test_lists_from_before_are_not_left_behind(tools: Tools) -> None:
    system = tools.system
    pid = await stopped(tools, "publishing")
    await taken_over(tools)
    epoch = await append_control(
        system.stack.bootstrap_servers, *going_live(store_bundle(system.bundles, system.folder, 1))
    )
    await publish(tools.producer, [enrolled(user, 3, "c07") for user in USERS])

    async def all_new() -> bool:
        return all(one is not None and one >= epoch for one in await epochs(tools))

    await until(all_new, "every list made with the new model")
    looks: list[bool] = []

    async def look() -> None:
        while True:
            looks.append(await all_new())
            await asyncio.sleep(0.01)

    looking = asyncio.create_task(look())
    await back(tools, pid)
    await expect_whole(tools)
    await end_tasks([looking])
    assert looks and all(looks), "no reader saw a list of the model that was"


async def epochs(tools: Tools) -> list[int | None]:
    """Return the epoch of each learner's list."""
    keys = [shard_of_user(user).candidates(user) for user in USERS]
    packed: list[Any] = [await tools.client.get(key) for key in keys]
    return [unpack_candidates(one).version.model_epoch if one else None for one in packed]
