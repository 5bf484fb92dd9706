"""Retiring a generation: its keys go, what refuses zombies stays, and nothing else is touched."""

from typing import Any

import pytest

from adapters.redis import Client
from schemas.events import Enrolled
from schemas.keys import ShardKeys
from schemas.meta import Status
from stream.activity import ActivityUpdate, merge_activity
from stream.generation import delete_generation, retire_older, retire_shard
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
