"""Replaying the log into a new generation, and swapping it in under running workers."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import pytest

import stream.replay
from adapters.redis import Client
from schemas.candidates import unpack_candidates
from schemas.errors import ConfigurationError, NotReadyError
from schemas.events import Enrolled, Erased, LearnerEvent
from schemas.keys import SHARED_META, ShardKeys
from schemas.meta import Status
from stream.digest import DigestResult, digest_as_of, live_digest
from stream.merge import merge_run, merge_span
from stream.replay import Rebuild, rebuild
from stream.view import ShardView
from tests import reference
from tests.integration.replays import USERS, Tools, expect_retired, keys_of, open_tools, some_events
from tests.integration.workers import System, publish, running_system, shard_of_user
from tests.reference import Logged
from tests.shard_state import run_of
from tests.waiting import until


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Run two workers over four shards with a live model."""
    with running_system(tmp_path_factory.mktemp("replay"), ("w1", "w2")) as running:
        yield running


LOG: Final[list[Logged]] = []


@pytest.fixture
async def tools(system: System) -> AsyncIterator[Tools]:
    """Connect; the log holds some hundred events from the first test on."""
    async with open_tools(system, LOG, 600) as tools:
        yield tools


async def tamper(tools: Tools) -> tuple[str, str, bytes]:
    """Change one register of the live state as no event would; return where it was, and what."""
    keys = ShardKeys(shard_of_user("tampered").shard, await tools.generation())
    await tools.append(Enrolled(event_id="t", user_id="tampered", course_id="c01", occurred_at=5))
    key = keys.history("tampered")
    stood: Any = await tools.client.hget(key, "c01")
    await tools.client.hset(key, "c01", stood[:-1] + bytes([stood[-1] ^ 1]))
    return key, "c01", stood


async def test_a_replay_gives_the_live_digest_and_leaves_the_live_state_alone(tools: Tools) -> None:
    live = await live_digest(tools.system.connections)
    seen: list[tuple[int, int]] = []
    result = await rebuild(tools.system.connections, progress=lambda done, total: seen.append((done, total)))
    assert (result.digest, result.learners, result.generation) == (live.digest, live.learners, 1)
    assert result.events == len(tools.log) and not result.swapped and result.events_per_s > 0
    assert seen[-1] == (len(tools.log), len(tools.log)) and seen == sorted(seen)
    assert await live_digest(tools.system.connections, 1) == live == await live_digest(tools.system.connections)
    assert await tools.generation() == 0
    metas = await tools.system.metas(tools.client, 1)
    assert {meta.status for meta in metas if meta} == {Status.BUILDING} and all(metas)


async def test_a_replay_stops_at_a_moment_of_the_past(tools: Tools) -> None:
    moment = max(entry.appended_ms for entry in tools.log)
    before = await live_digest(tools.system.connections)
    await asyncio.sleep(0.02)  # the next record must be stamped later
    await tools.append(*some_events(2, 50))
    result = await rebuild(tools.system.connections, until_ms=moment)
    assert result.digest == before.digest == (await digest_as_of(tools.system.connections, moment)).digest
    assert result.events == len(tools.log) - 50
    assert result.digest != (await live_digest(tools.system.connections)).digest


async def test_a_state_of_the_past_is_not_swapped_in(tools: Tools) -> None:
    with pytest.raises(ConfigurationError, match="--until"):
        await rebuild(tools.system.connections, until_ms=5, swap=True)


async def test_another_state_is_not_swapped_in_unless_that_is_wanted(tools: Tools) -> None:
    key, course, stood = await tamper(tools)
    with pytest.raises(NotReadyError, match="--accept-difference"):
        await rebuild(tools.system.connections, swap=True)
    assert await tools.generation() == 0
    metas = await tools.system.metas(tools.client, 0)
    assert {meta.status for meta in metas if meta} == {Status.LIVE} and all(metas)
    await tools.client.hset(key, course, stood)
    await tools.expect_whole()


async def old_views(tools: Tools, generation: int) -> list[ShardView]:
    metas = await tools.system.metas(tools.client, generation)
    return [ShardView(ShardKeys(shard, generation), meta.nonce) for shard, meta in enumerate(metas) if meta]


async def test_a_rebuild_that_is_damaged_meanwhile_is_given_up(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    async def damaging(client: Client, view: ShardView, *args: Any, **settings: Any) -> Any:
        await client.set(view.keys.counts, "of another type")
        return await merge_span(client, view, *args, **settings)

    monkeypatch.setattr(stream.replay, "merge_span", damaging)
    with pytest.raises(NotReadyError, match="DAMAGED"):
        await rebuild(tools.system.connections)
    assert not await keys_of(tools.client, await tools.generation() + 1)


async def test_a_swap_takes_readers_and_owners_to_the_new_generation(tools: Tools) -> None:
    zombies = await old_views(tools, 0)
    live = await live_digest(tools.system.connections)
    result = await rebuild(tools.system.connections, swap=True)
    assert result.swapped and result.digest == live.digest and await tools.generation() == 1
    listed = [user for user in USERS if await tools.client.exists(shard_of(user, 1).candidates(user))]
    with_courses = {user for user, state in reference.learners(tools.log).items() if state.courses}
    assert with_courses - {"tampered"} <= set(listed), "readers find lists at once"
    await tools.append(*some_events(3, 200))
    await tools.expect_whole()
    await expect_retired(tools, 0)
    for view in zombies:
        last = 10_000_000
        run = run_of([Logged(Enrolled(event_id="z", user_id="z", course_id="c", occurred_at=1), 1_000)], 0, 0)
        assert (await merge_run(tools.client, view, run._replace(last=last))).status == "RETIRED"
    assert await keys_of(tools.client, 0) == {view.keys.meta for view in zombies}


def shard_of(user_id: str, generation: int) -> ShardKeys:
    return ShardKeys(shard_of_user(user_id).shard, generation)


async def test_lists_go_on_in_the_new_generation(tools: Tools) -> None:
    await tools.append(Enrolled(event_id="n", user_id="u1", course_id="c02", occurred_at=1_705_000_000))
    packed: Any = await tools.client.get(shard_of("u1", 1).candidates("u1"))
    found = unpack_candidates(packed)
    assert found.candidates and "c02" not in [candidate.course_id for candidate in found.candidates]

    async def holds() -> bool:
        counted: Any = await tools.client.hget(SHARED_META, "counted")
        return bool(counted) and counted.decode().split()[0] == "1"

    await until(holds, "the shared lists of the new generation", 10)


async def test_a_difference_may_be_accepted(tools: Tools) -> None:
    await tamper(tools)
    result = await rebuild(tools.system.connections, swap=True, accept_difference=True)
    assert (result.generation, await tools.generation()) == (2, 2)
    await tools.expect_whole()
    await expect_retired(tools, 1)


async def test_a_swap_amid_events_loses_none(tools: Tools) -> None:
    """What comes in between the digest and the swap is taken on by the new owners, from what was applied."""

    async def meanwhile(events: list[LearnerEvent]) -> None:
        tools.log.extend(await publish(tools.producer, events))

    batches = [some_events(10 + i, 20) for i in range(4)]
    await meanwhile(batches[0])
    await tools.caught_up()
    pending = [batches[1:]]

    def progress(done: int, total: int) -> None:
        if done == total and pending:
            sent.append(loop.create_task(meanwhile([event for batch in pending.pop() for event in batch])))

    loop, sent = asyncio.get_running_loop(), list[asyncio.Task[None]]()
    result = await rebuild(tools.system.connections, swap=True, accept_difference=True, progress=progress)
    await asyncio.gather(*sent)
    assert sent and result.generation == await tools.generation() == 3
    await tools.expect_whole()


async def test_what_comes_in_while_lists_are_made_stands_in_what_goes_live(
    tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    build, swap, seen = Rebuild.build_lists, Rebuild.swap, list[DigestResult]()

    async def build_amid_events(self: Rebuild) -> None:
        await build(self)
        gone = (Erased(event_id=f"gone {user}", user_id=user, occurred_at=time.time()) for user in USERS[:5])
        await tools.append(*some_events(15, 20), *gone)

    async def swap_seen(self: Rebuild, digest: str) -> None:
        seen.append(await live_digest(tools.system.connections, self.generation))
        await swap(self, digest)

    monkeypatch.setattr(Rebuild, "build_lists", build_amid_events)
    monkeypatch.setattr(Rebuild, "swap", swap_seen)
    await rebuild(tools.system.connections, swap=True)
    assert seen == [await digest_as_of(tools.system.connections, int(time.time() * 1_000))]
    await tools.expect_whole()


async def test_a_worker_that_was_away_retires_what_was_replaced_meanwhile(tools: Tools) -> None:
    tools.system.kill("w1")
    old = await tools.generation()
    assert (await rebuild(tools.system.connections, swap=True)).generation == old + 1
    tools.system.start("w1")
    await tools.append(*some_events(20, 100))
    await tools.expect_whole()
    await expect_retired(tools, old)
