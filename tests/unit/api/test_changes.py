"""Notices of changed lists on a real server: who follows is woken, also by hand while no notice can come."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from adapters.redis import Client, connect, end_tasks
from api import changes as module
from api.changes import Changes
from api.problems import ProblemError
from schemas.keys import CHANGED
from schemas.settings import Connections
from tests.api_server import Switched
from tests.cluster import running_cluster
from tests.waiting import until


def is_(changes: Changes, heard: bool) -> Callable[[], Awaitable[bool]]:
    """Return whether notices are heard, or are not."""

    async def holds() -> bool:
        return changes.is_heard == heard

    return holds


@asynccontextmanager
async def listening(client: Client, max_streams: int = 10) -> AsyncIterator[Changes]:
    changes = Changes(client, max_streams)
    task = asyncio.create_task(changes.run())

    try:
        await until(is_(changes, heard=True), "the subscription")
        yield changes
    finally:
        await end_tasks([task])


async def woken_after(changes: Changes, user_id: str, client: Client, *said: str) -> float:
    """Return how long a follower slept when it was said that these learners changed."""
    with changes.follow(user_id) as follower:
        started = time.monotonic()
        await client.execute_command("PUBLISH", CHANGED, msgspec.msgpack.encode(said))
        await follower.wait(1.0)
        return time.monotonic() - started


async def test_a_notice_wakes_only_those_it_names(client: Client) -> None:
    async with listening(client) as changes:
        assert await woken_after(changes, "a\nü", client, "b", "a\nü") < 0.9
        assert await woken_after(changes, "a", client, "b") >= 1.0


async def test_a_notice_that_cannot_be_read_wakes_everybody_and_ends_nothing(client: Client) -> None:
    async with listening(client) as changes:
        with changes.follow("a") as follower:
            started = time.monotonic()
            await client.execute_command("PUBLISH", CHANGED, b"\xc1 of another version")
            await follower.wait(1.0)
            assert time.monotonic() - started < 0.9
        assert await woken_after(changes, "a", client, "a") < 0.9


async def test_two_followers_of_one_learner_are_both_woken(client: Client) -> None:
    async with listening(client) as changes:
        with changes.follow("a") as one, changes.follow("a") as two:
            changes.wake(["a"])
            started = time.monotonic()
            await asyncio.gather(one.wait(2), two.wait(2))
            assert time.monotonic() - started < 1
        assert changes.num_open == 0


async def test_streams_are_bounded(client: Client) -> None:
    changes = Changes(client, max_streams=1)
    with changes.follow("a"), pytest.raises(ProblemError) as refused, changes.follow("b"):
        pass
    assert refused.value.details.status == 503
    with changes.follow("b"):
        assert changes.num_open == 1


async def test_one_caller_leaves_half_of_the_streams_to_others(client: Client) -> None:
    changes = Changes(client, max_streams=4)
    with changes.follow("a", "me"), changes.follow("b", "me"):
        with pytest.raises(ProblemError), changes.follow("c", "me"):
            pass
        with changes.follow("a", "another"):
            assert changes.num_open == 3
    with changes.follow("c", "me"):
        assert changes.num_open == 1


async def test_the_end_wakes_everybody_and_lets_nobody_in(client: Client) -> None:
    changes = Changes(client, max_streams=9)
    with changes.follow("a") as follower:
        changes.is_heard = True
        changes.end()
        started = time.monotonic()
        await follower.wait(5)
        assert time.monotonic() - started < 1
    with pytest.raises(ProblemError), changes.follow("a"):
        pass


async def test_without_redis_followers_look_themselves_and_it_is_heard_again(tmp_path: Path) -> None:
    server = Switched(tmp_path).on()
    client = connect(Connections(redis_url=server.redis_url))
    async with listening(client) as changes:
        with changes.follow("a") as follower:
            await asyncio.to_thread(server.off)
            await until(is_(changes, heard=False), "the loss")
            await follower.wait(0)
            started = time.monotonic()
            await follower.wait(60)
            assert time.monotonic() - started < 2
            await asyncio.to_thread(server.on)
            await until(is_(changes, heard=True), "the new subscription")
            assert await woken_after(changes, "b", client, "b") < 0.9
    await client.aclose()
    server.off()


async def test_a_server_that_says_nothing_is_noticed(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SILENCE_S", 0.05)
    async with listening(client) as changes:
        await asyncio.sleep(0.5)
        assert changes.is_heard  # its pings are answered
        await client.execute_command("CLIENT", "PAUSE", 900, "ALL")
        await until(is_(changes, heard=False), "the silence", 5)
        await asyncio.sleep(1)


@pytest.fixture
def cluster_url(tmp_path: Path) -> Iterator[str]:
    """Run a cluster of one server that holds every slot."""
    with running_cluster(tmp_path, 1) as cluster:
        yield cluster.redis_url


async def test_a_clusters_notices_are_heard_before_any_other_command(cluster_url: str) -> None:
    client = connect(Connections(redis_url=cluster_url, redis_cluster=True))
    async with listening(client) as changes:
        assert await woken_after(changes, "a", client, "a") < 0.4  # sooner than followers look themselves
    await client.aclose()
