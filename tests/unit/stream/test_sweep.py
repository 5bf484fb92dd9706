"""The refresh as it runs in a worker: sweeps behind fresh marks, and shards that go live when all lists stand."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from adapters.bundles import BundleStore
from adapters.follow import Catalogue, ControlLog
from adapters.redis import Client, end_tasks
from schemas.control import ControlState
from schemas.events import Feedback
from schemas.meta import Status
from stream.lists import Marked
from stream.refresh import Refresher
from stream.serving import Serving, ServingRoom
from stream.shards import Phase, Shard
from stream.view import ShardView, open_shard, read_meta
from tests.served import KEYS, Log, enrolled, listed, marks, serving, watched
from tests.waiting import until


async def swept(client: Client, view: ShardView, now: Serving, batch: int) -> list[str]:
    """Sweep to the end; return where the sweep stood after each step, as the shard's meta said."""
    refresher, before = Refresher(client, 5, batch), await read_meta(client, KEYS)
    places, stood = list[str](), before.sweep if before else ""
    for _ in range(50):
        stands = await refresher.sweep(view, now, stood, batch)
        meta = await read_meta(client, KEYS)
        assert meta is not None and meta.sweep == stands
        if stands == stood:
            return places
        places.append(stands)
        stood = stands
    raise AssertionError("a sweep ends")


async def test_a_sweep_brings_every_list_to_new_epochs_most_recent_first(
    client: Client, view: ShardView, log: Log
) -> None:
    users = [f"u{i:02d}" for i in range(25)]
    await log.append(*(enrolled(user, "c00") for user in users))
    await Refresher(client, 5, 64).drain(view, serving())
    recommender = watched()
    places = await swept(client, view, serving(6, 4, recommender), 10)
    assert places == ["6 4 15", "6 4 5", "6 4 -inf"]
    found = [await listed(client, user) for user in users]
    assert {one.version[:2] for one in found if one} == {(6, 4)} and all(found)
    assert recommender.learners == 25


async def test_a_sweep_that_was_broken_off_goes_on_where_it_stood(client: Client, view: ShardView, log: Log) -> None:
    users = [f"u{i:02d}" for i in range(25)]
    await log.append(*(enrolled(user, "c00") for user in users))
    await Refresher(client, 5, 64).drain(view, serving())
    first, second = watched(), watched()
    stood = await Refresher(client, 5, 10).sweep(view, serving(6, 3, first), "", 10)
    meta = await read_meta(client, KEYS)
    assert meta is not None and meta.sweep == stood and first.learners == 10
    place = stood
    while (stands := await Refresher(client, 5, 10).sweep(view, serving(6, 3, second), place, 10)) != place:
        place = stands
    assert second.learners == 15 and place == "6 3 -inf"


async def test_a_sweep_leaves_out_who_is_current_already(client: Client, view: ShardView, log: Log) -> None:
    users = [f"u{i:02d}" for i in range(12)]
    await log.append(*(enrolled(user, "c00") for user in users))
    await Refresher(client, 5, 64).drain(view, serving())
    await Refresher(client, 5, 64).refresh([Marked(view, user) for user in users[:7]], serving(6))
    recommender = watched()
    await swept(client, view, serving(6, 3, recommender), 5)
    assert recommender.learners == 5


async def test_newer_epochs_begin_the_sweep_anew(client: Client, view: ShardView, log: Log) -> None:
    await log.append(*(enrolled(f"u{i}", "c00") for i in range(8)))
    await swept(client, view, serving(6), 4)
    recommender = watched()
    stands = await Refresher(client, 5, 4).sweep(view, serving(7, 3, recommender), "6 3 -inf", 4)
    assert stands == "7 3 4" and recommender.learners == 4


async def test_a_list_made_from_activity_that_expired_goes_with_the_next_model(
    client: Client, view: ShardView, log: Log
) -> None:
    useful = Feedback(event_id="f", user_id="u", course_id="c02", occurred_at=6, value="useful")
    await log.append(useful)
    await Refresher(client, 5, 8).drain(view, serving())
    await client.delete(KEYS.feedback("u"))
    await swept(client, view, serving(6), 4)
    assert await listed(client, "u") is None


# What runs for ever in a worker.


def bare_room(current: Serving | None, due: bool = False) -> ServingRoom:
    """Return a room over no broker, with something to serve or nothing, and perhaps a model that is due."""
    control = ControlLog("nowhere")
    if due:
        control.state = ControlState(partitions=1, model_version="m", model_epoch=2)
    room = ServingRoom(BundleStore("nowhere"), control, Catalogue("nowhere"))
    room.current = current
    return room


async def opened(client: Client, view: ShardView) -> Shard:
    """Return the shard as its owner holds it once it has caught up."""
    meta = await read_meta(client, KEYS)
    assert meta is not None
    shard = Shard(0)
    shard.view, shard.meta, shard.phase = view, meta, Phase.OPEN
    return shard


@contextlib.asynccontextmanager
async def running(refresher: Refresher, shards: list[Shard], room: ServingRoom) -> AsyncIterator[None]:
    """Let a refresher run, as in a worker."""
    task = asyncio.create_task(refresher.run(lambda: [shard for shard in shards if shard.phase == Phase.OPEN], room))
    try:
        yield
    finally:
        await end_tasks([task])
    if not task.cancelled():
        task.result()


async def status_and(client: Client, *commands: tuple[str, ...]) -> tuple[str, list[Any]]:
    """Return the shard's status, and what else stands at the same moment."""
    pipeline = client.pipeline(transaction=True)
    pipeline.hget(KEYS.meta, "status")
    for command in commands:
        pipeline.execute_command(*command)
    status, *answers = await pipeline.execute()
    return status.decode() if status else "absent", answers


async def test_a_building_shard_goes_live_only_with_every_list(client: Client, view: ShardView, log: Log) -> None:
    users = [f"u{i:03d}" for i in range(120)]
    await log.append(*(enrolled(user, "c00") for user in users))
    seen = []
    async with running(Refresher(client, 5, 8), [await opened(client, view)], bare_room(serving())):
        for _ in itertools.count():
            status, (dirty, lists) = await status_and(
                client, ("ZCARD", KEYS.dirty), ("EXISTS", *(KEYS.candidates(user) for user in users))
            )
            seen.append((status, dirty, lists))
            if status == Status.LIVE:
                break
            assert len(seen) < 20_000
    assert seen[-1] == (Status.LIVE, 0, 120)
    assert any(0 < lists < 120 for _, _, lists in seen), "it was seen while it was building"


class Busy(Refresher):
    """A refresher in whose shard an event comes in while each batch is refreshed."""

    log: Log
    courses = itertools.cycle(f"c{i:02d}" for i in range(1, 9))

    async def refresh(self, learners: Sequence[Marked], serving: Serving) -> list[Marked]:
        """Refresh, and have somebody marked again by the time it is done."""
        published = await super().refresh(learners, serving)
        await self.log.enrol("busy", next(self.courses))
        return published


async def test_events_that_never_cease_do_not_keep_a_shard_from_going_live(
    client: Client, view: ShardView, log: Log
) -> None:
    users = [f"u{i:02d}" for i in range(30)]
    await log.append(*(enrolled(user, "c00") for user in [*users, "busy"]))
    refresher = Busy(client, 5, 8)
    refresher.log = log
    async with running(refresher, [await opened(client, view)], bare_room(serving())):
        await _until_live(client)
        assert all([await listed(client, user) for user in [*users, "busy"]])
    assert await marks(client) <= {"busy"}  # none if the end came between publishing and marking


async def test_without_any_model_a_shard_goes_live_all_the_same(client: Client, view: ShardView, log: Log) -> None:
    await log.enrol("u", "c00")
    async with running(Refresher(client, 5, 8), [await opened(client, view)], bare_room(None)):
        await _until_live(client)
    assert await marks(client) == {"u"}  # for the model that comes


async def test_a_model_that_is_due_is_waited_for(client: Client, view: ShardView, log: Log) -> None:
    await log.enrol("u", "c00")
    room = bare_room(None, due=True)
    refresher = Refresher(client, 5, 8)
    async with running(refresher, [await opened(client, view)], room):
        await asyncio.sleep(0.2)
        assert (await status_and(client))[0] == Status.BUILDING
        room.current = serving()
        refresher.wake()
        await _until_live(client)
    assert await listed(client, "u") is not None


async def _until_live(client: Client) -> None:
    async def holds() -> bool:
        return (await status_and(client))[0] == Status.LIVE

    await until(holds, "a live shard", 10)


async def test_a_shard_that_is_lost_while_its_marks_are_read_does_not_go_live(
    client: Client, view: ShardView, log: Log
) -> None:
    """The marks of a lost state say nothing of the one that is being filled in its place."""
    shard = await opened(client, view)
    await client.flushall()
    other, meta = await open_shard(client, KEYS, 0)
    await client.client_pause(300)  # the server answers nobody: the marks are being read
    async with running(Refresher(client, 5, 8), [shard], bare_room(serving())):
        await asyncio.sleep(0.1)
        shard.phase, shard.view, shard.meta = Phase.FILLING, other, meta
        await asyncio.sleep(0.5)
    assert (await status_and(client))[0] == Status.BUILDING
    assert shard.meta.status == Status.BUILDING


async def test_a_shard_whose_state_went_is_not_thought_live(client: Client, view: ShardView, log: Log) -> None:
    shard = await opened(client, view)
    await client.hset(KEYS.meta, "nonce", "0" * 32)
    await Refresher(client, 5, 8).go_live(shard)
    assert (await status_and(client))[0] == Status.BUILDING and shard.meta.status == Status.BUILDING


async def test_a_new_model_reaches_every_list_by_itself(client: Client, view: ShardView, log: Log) -> None:
    users = [f"u{i:02d}" for i in range(40)]
    await log.append(*(enrolled(user, "c00") for user in users))
    room, refresher = bare_room(serving(5)), Refresher(client, 5, 4)
    async with running(refresher, [await opened(client, view)], room):
        await _until_live(client)
        room.current = serving(9)
        refresher.wake()
        await until(lambda: _has_swept(client, "9 3 -inf"), "the end of the sweep", 10)
    found = [await listed(client, user) for user in users]
    assert {one.version.model_epoch for one in found if one} == {9} and all(found)


async def _has_swept(client: Client, place: str) -> bool:
    meta = await read_meta(client, KEYS)
    return meta is not None and meta.sweep == place


async def test_a_round_over_many_shards_is_short(client: Client, view: ShardView, log: Log) -> None:
    await log.append(*(enrolled(f"u{i:02d}", "c00") for i in range(40)))
    recommender = watched()
    recommender.go.clear()
    shards = [await opened(client, view) for _ in range(8)]
    for shard in shards:
        shard.meta = shard.meta._replace(status=Status.LIVE)
    async with running(Refresher(client, 5, 32), shards, bare_room(serving(recommender=recommender))):
        assert await asyncio.to_thread(recommender.started.wait, 60)
        assert recommender.learners <= 2 * 32 // 8, "so many of each of eight shards, not 32"
        recommender.go.set()


@pytest.mark.parametrize("batch", [4, 5, 7])  # the settings refuse less
async def test_any_size_of_batch_does_its_work(client: Client, view: ShardView, log: Log, batch: int) -> None:
    users = [f"u{i:02d}" for i in range(9)]
    await log.append(*(enrolled(user, "c00") for user in users))
    recommender = watched()
    refresher = Refresher(client, 5, batch)
    await refresher.refresh_marked({view: batch}, serving(recommender=recommender))
    assert recommender.learners in (batch - 1, batch)  # who is drawn may be among the newest or oldest
    async with running(refresher, [await opened(client, view)], bare_room(serving(6))):
        await _until_live(client)
    assert await marks(client) == set()
    assert all([await listed(client, user) for user in users])
