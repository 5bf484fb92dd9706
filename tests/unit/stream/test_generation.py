"""Retiring a generation: its keys go, what refuses zombies stays, and nothing else is touched."""

from typing import Any

import pytest

from adapters.redis import Client
from schemas.events import Enrolled
from schemas.keys import REPLAY, ShardKeys
from schemas.meta import Status
from stream.activity import ActivityUpdate, merge_activity
from stream.generation import _abandon, delete_generation, delete_unfinished, retire_older, retire_shard
from stream.merge import merge_run
from stream.view import ShardView, open_shard, read_meta
from tests.reference import Logged
from tests.shard_state import contents, merge, read_learners, run_of
from tests.strategies import LATE_MS

LOG = [
    Logged(Enrolled(event_id=f"e{i}", user_id=f"u{i % 300}", course_id=f"c{i}", occurred_at=i), LATE_MS)
    for i in range(1_200)
]
"""Enough learners that their keys are deleted in more than one chunk."""


async def fill(client: Client, shard: int, generation: int) -> ShardView:
    """Fill a shard of a generation, with lists and what stands beside them."""
    keys = ShardKeys(shard, generation)
    view, _ = await open_shard(client, keys, 0)
    await merge(client, view, LOG, 0, len(LOG) - 1)
    pipeline = client.pipeline(transaction=False)
    for i in range(300):
        pipeline.set(keys.candidates(f"u{i}"), b"list")
        pipeline.hset(keys.pending(f"u{i}"), "c", b"123456789")
    await pipeline.execute()
    return view


async def of_generation(client: Client, shard: int, generation: int) -> set[str]:
    keys: Any = await client.keys(f"{ShardKeys(shard, generation).prefix}*")
    return {key.decode() for key in keys}


async def test_only_the_meta_of_a_retired_generation_stays(client: Client) -> None:
    for shard, generation in ((0, 1), (1, 1), (10, 1), (0, 2), (0, 10)):
        await fill(client, shard, generation)
    before = await contents(client)
    await retire_older(client, 2, [0, 1])
    for shard in (0, 1):
        assert await of_generation(client, shard, 1) == {ShardKeys(shard, 1).meta}
        meta = await read_meta(client, ShardKeys(shard, 1))
        assert meta is not None and meta.status == Status.RETIRED
    gone = tuple(ShardKeys(shard, 1).prefix.encode() for shard in (0, 1))
    after = await contents(client)
    assert {key: value for key, value in after.items() if not key.startswith(gone)} == {
        key: value for key, value in before.items() if not key.startswith(gone)
    }


async def test_a_zombie_of_a_retired_generation_is_refused(client: Client) -> None:
    old = await fill(client, 0, 0)
    await retire_shard(client, old.keys)
    before = await contents(client)
    answer = await merge_run(client, old, run_of(LOG, 0, 9)._replace(first=len(LOG), last=len(LOG) + 9))
    await merge_activity(client, old, {"u": ActivityUpdate({"v:c": 1}, [], 5, True)})
    assert answer.status == "RETIRED"
    assert await contents(client) == before


async def test_a_retired_shard_is_not_opened_anew(client: Client) -> None:
    old = await fill(client, 0, 0)
    await retire_shard(client, old.keys)
    view, meta = await open_shard(client, old.keys, 0)
    assert meta.status == Status.RETIRED and view.nonce == old.nonce
    assert await read_learners(client, old.keys) == {}


@pytest.mark.parametrize("times", [1, 2])
async def test_retiring_may_be_repeated_and_may_find_nothing(client: Client, times: int) -> None:
    for _ in range(times):
        await retire_older(client, 5, range(3))
        await delete_generation(client, 4, 3)
    assert await contents(client) == {}


async def test_a_generation_that_never_went_live_leaves_nothing(client: Client) -> None:
    await fill(client, 0, 1)
    await fill(client, 1, 1)
    await delete_generation(client, 1, 2)
    keys: Any = await client.keys()
    pending = {ShardKeys(shard, 0).pending(f"u{i}") for shard in (0, 1) for i in range(300)}
    assert {key.decode() for key in keys} == pending


async def test_who_died_over_retiring_is_followed_up(client: Client) -> None:
    old = await fill(client, 0, 0)
    await old.set_status(client, Status.RETIRED)  # and no more
    await retire_older(client, 1, [0])
    assert await of_generation(client, 0, 0) == {old.keys.meta}
    await client.set(old.keys.candidates("u"), b"looked at again")
    await retire_older(client, 1, [0])
    assert await of_generation(client, 0, 0) == {old.keys.meta, old.keys.candidates("u")}, "emptied but once"


async def replayed(client: Client, shard: int, replay: str) -> ShardView:
    """Fill a shard of generation 1 as a replay does."""
    view, _ = await open_shard(client, ShardKeys(shard, 1), 0, lost=True, replay=replay)
    await merge(client, view, LOG, 0, 400)
    return view


async def test_what_a_dead_replay_left_is_deleted(client: Client) -> None:
    """Shard 0 is half filled; in shard 1 somebody began to delete it and died; shard 2 is an owner's."""
    await replayed(client, 0, "dead")
    half = await replayed(client, 1, "dead")
    await half.set_status(client, Status.RETIRED)
    await fill(client, 2, 1)
    await client.set(REPLAY, "another")
    await delete_unfinished(client, 1, range(3))
    assert [len(await of_generation(client, shard, 1)) for shard in range(2)] == [0, 0]
    assert len(await of_generation(client, 2, 1)) > 300


async def test_a_replay_at_work_is_left_alone(client: Client) -> None:
    await client.set(REPLAY, "at work")
    view = await replayed(client, 0, "at work")
    before = await contents(client)
    await delete_unfinished(client, 1, [0])
    assert await contents(client) == before
    await delete_unfinished(client, 1, [0], own="at work")
    assert await of_generation(client, 0, 1) == set()
    assert (await merge_run(client, view, run_of(LOG, 401, 402))).status == "ABSENT"


async def test_what_a_replay_has_finished_stays(client: Client) -> None:
    view = await replayed(client, 0, "done")
    assert await view.guarded(client, replay="")
    before = await contents(client)
    await delete_unfinished(client, 1, [0])
    assert await contents(client) == before


async def test_a_replay_that_finishes_while_it_is_looked_at_stays(client: Client) -> None:
    """Its meta was read before it finished, the lease after it was given up."""
    view = await replayed(client, 0, "done")
    read = await read_meta(client, view.keys)
    assert read is not None
    await view.guarded(client, replay="")
    before = await contents(client)
    await _abandon(client, view.keys, read)
    assert await contents(client) == before
