"""Opening, wiping and losing a shard's state."""

from pathlib import Path

import pytest

import stream
from adapters.redis import Client, Script
from schemas.keys import ShardKeys
from schemas.meta import Meta, Status
from stream.merge import merge_run
from stream.view import ShardView, delete_state, open_shard, read_meta
from tests.shard_state import contents, enrolments, read_learners, run_of

KEYS = ShardKeys(3, 2)
LOG = enrolments(12)
OPEN = Script(Path(str(stream.__file__)).with_name("open.lua"))


async def fill(client: Client, keys: ShardKeys, learners: int = 3) -> list[str]:
    """Write state as a merge and a refresh leave it, without a meta; return its keys."""
    written = [keys.counts]
    await client.hset(keys.counts, "c1\0\0\0\1", "5")
    for i in range(learners):
        await client.hset(keys.history(f"ü{i}"), "c1", "record")
        await client.set(keys.candidates(f"ü{i}"), "list")
        await client.zadd(keys.dirty, {f"ü{i}": 1})
        written += [keys.history(f"ü{i}"), keys.candidates(f"ü{i}")]
    return [*written, keys.dirty]


async def die_while_wiping(client: Client, keys: ShardKeys, nonce: str = "a" * 32) -> ShardView:
    """Open a shard as a worker does that dies before it has deleted anything."""
    await OPEN.run(client, [keys.meta], [keys.generation, nonce, -1, "0", ""])
    return ShardView(keys, nonce)


async def test_nothing_becomes_an_empty_state_that_is_building(client: Client) -> None:
    view, meta = await open_shard(client, KEYS, log_beginning=17)
    assert meta == Meta(2, Status.BUILDING, view.nonce, 16)
    assert await read_meta(client, KEYS) == meta
    assert len(view.nonce) == 32
    assert list(await contents(client)) == [KEYS.meta.encode()]


async def test_a_new_state_over_a_log_that_lost_its_beginning_is_an_alarm(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    await open_shard(client, KEYS, log_beginning=17)
    assert f"ALARM: learner-events:{KEYS.shard} begins at 17" in caplog.text
    caplog.clear()
    await open_shard(client, KEYS, log_beginning=17)  # the same state, known by now
    await open_shard(client, ShardKeys(3, 2), log_beginning=0)
    assert not caplog.text


async def test_there_is_no_meta_before_a_shard_is_opened(client: Client) -> None:
    assert await read_meta(client, KEYS) is None


async def test_leftovers_of_a_lost_state_are_deleted_and_nothing_else(client: Client) -> None:
    await fill(client, KEYS, learners=400)
    for other in (ShardKeys(3, 0), ShardKeys(3, 21), ShardKeys(0, 2), ShardKeys(32, 2)):
        await fill(client, other)
        await open_shard(client, other, 0)
        await fill(client, other)
    await client.hset(KEYS.pending("ü1"), "c1", "pending")
    kept = {key: value for key, value in (await contents(client)).items() if not key.startswith(KEYS.prefix.encode())}
    await open_shard(client, KEYS, 0)
    left = await contents(client)
    assert left.keys() - kept.keys() == {KEYS.meta.encode()}
    assert {key: left[key] for key in kept} == kept


async def test_a_second_opener_gets_the_same_state(client: Client) -> None:
    first, _ = await open_shard(client, KEYS, 0)
    await first.set_status(client, Status.LIVE)
    await merge_run(client, first, run_of(LOG, 0, 4))
    before = await contents(client)
    second, meta = await open_shard(client, KEYS, 0)
    assert second == first
    assert meta == Meta(2, Status.LIVE, first.nonce, 4)
    assert await contents(client) == before


async def test_a_retired_state_is_opened_as_it_is(client: Client) -> None:
    view, _ = await open_shard(client, KEYS, 0)
    await view.set_status(client, Status.RETIRED)
    again, meta = await open_shard(client, KEYS, 0)
    assert (again, meta.status) == (view, Status.RETIRED)


async def test_who_died_while_wiping_is_taken_over(client: Client) -> None:
    await fill(client, KEYS)
    dead = await die_while_wiping(client, KEYS)
    view, meta = await open_shard(client, KEYS, 9)
    assert view.nonce != dead.nonce
    assert meta == await read_meta(client, KEYS) == Meta(2, Status.BUILDING, view.nonce, 8)
    assert list(await contents(client)) == [KEYS.meta.encode()]


async def test_who_was_taken_over_while_wiping_changes_nothing_more(client: Client) -> None:
    slow = await die_while_wiping(client, KEYS)
    view, _ = await open_shard(client, KEYS, 0)
    await merge_run(client, view, run_of(LOG, 0, 11))
    before = await contents(client)
    assert not await delete_state(client, slow)
    assert not await slow.set_status(client, Status.BUILDING)
    assert await contents(client) == before


async def test_guarded_writes_of_the_owner_are_done(client: Client) -> None:
    view, _ = await open_shard(client, KEYS, 0)
    written = await fill(client, KEYS)
    await view.set_status(client, Status.RETIRED)
    assert await view.guarded(client, delete=written, sweep="1 2 -inf", status=Status.LIVE)
    assert await read_meta(client, KEYS) == Meta(2, Status.LIVE, view.nonce, -1, "1 2 -inf")
    assert list(await contents(client)) == [KEYS.meta.encode()]


@pytest.mark.parametrize("status", [Status.BUILDING, Status.LIVE])
async def test_a_wipe_that_arrives_late_deletes_nothing(client: Client, status: Status) -> None:
    view, _ = await open_shard(client, KEYS, 0)
    written = await fill(client, KEYS)
    await view.set_status(client, status)
    before = await contents(client)
    assert not await view.guarded(client, delete=written)
    assert await contents(client) == before


@pytest.mark.parametrize("gone", [False, True])
async def test_guarded_writes_of_another_change_nothing(client: Client, gone: bool) -> None:
    view, _ = await open_shard(client, KEYS, 0)
    written = await fill(client, KEYS)
    if gone:
        await client.delete(KEYS.meta)
    else:
        view = ShardView(KEYS, "0" * 32)
    before = await contents(client)
    assert not await view.guarded(client, delete=written, status=Status.LIVE)
    assert await contents(client) == before


async def test_a_state_of_another_log_is_given_up(client: Client) -> None:
    old, _ = await open_shard(client, KEYS, 0)
    await old.set_status(client, Status.LIVE)
    await old.guarded(client, sweep="1 2 -inf")
    await merge_run(client, old, run_of(LOG, 0, 11))
    view, meta = await open_shard(client, KEYS, 5, lost=True)
    assert view.nonce != old.nonce
    assert meta == await read_meta(client, KEYS) == Meta(2, Status.BUILDING, view.nonce, 4)
    assert list(await contents(client)) == [KEYS.meta.encode()]
    assert (await merge_run(client, old, run_of(LOG, 5, 11))).status == "NONCE"
    assert await read_learners(client, KEYS) == {}
