"""A server that comes back without its last second: what lists a sweep had made, or that a shard had gone live."""

from collections.abc import Sequence
from typing import Any

import pytest

from adapters.follow import ControlLog
from adapters.redis import Client
from schemas.control import ControlState
from schemas.meta import Status
from stream.lists import Marked
from stream.refresh import Refresher
from stream.serving import Serving
from stream.shards import Shard, ShardOwner
from stream.view import ShardView
from tests.served import Log, enrolled, listed, serving
from tests.unit.stream.test_sweep import opened


async def kept(client: Client) -> dict[Any, Any]:
    """Return all that the server holds."""
    return {key: await client.dump(key) for key in await client.keys("*")}


async def put_back(client: Client, held: dict[Any, Any]) -> None:
    """Have the server come back as it was: without what it was told since, and without any script."""
    await client.flushdb()
    for key, value in held.items():
        await client.restore(key, 0, value)
    await client.script_flush()


class Robbed(Refresher):
    """A refresher whose server comes back without the lists that were published last, before that is noted."""

    held: dict[Any, Any] | None = None

    async def refresh(self, learners: Sequence[Marked], serving: Serving) -> list[Marked]:
        """Refresh, and lose it."""
        published = await super().refresh(learners, serving)
        if self.held:
            await put_back(self._client, self.held)
            self.held = None
        return published


@pytest.mark.parametrize("lost", ["a step", "the end", "amid a step"])
async def test_what_a_server_lost_of_a_sweep_is_swept_again(
    client: Client, view: ShardView, log: Log, lost: str
) -> None:
    users = [f"u{i:02d}" for i in range(20)]
    await log.append(*(enrolled(user, "c00") for user in users))
    refresher, shard, now = Robbed(client, 5, 64), await opened(client, view), serving(6, 3)
    await refresher.drain(view, serving())
    await refresher._sweep_next([shard], now, 5)
    before = await kept(client)
    if lost == "amid a step":
        refresher.held = before
        await refresher._sweep_next([shard], now, 5)
    else:
        while await refresher._sweep_next([shard], now, 5) and lost == "the end":
            pass
        await put_back(client, before)
        if lost == "the end":  # else it is seen by the next step
            assert await filled_by_a_check(client, shard) == [], "nothing is to be filled again"
    for _ in range(10):
        await refresher._sweep_next([shard], now, 5)
    found = {user: await listed(client, user) for user in users}
    assert {one.version.model_epoch for one in found.values() if one} == {6} and all(found.values())


class Checking(ShardOwner):
    """An owner of one shard that notes what it would fill again."""

    def __init__(self, client: Client, shard: Shard) -> None:
        control = ControlLog("unused:1")
        unused: Any = None
        control.state = ControlState(partitions=1)
        super().__init__(client, control, unused, "", unused, lambda *_: None)
        self.shards, self.filled = {shard.partition: shard}, list[int]()

    def refill(self, shard: Shard) -> None:
        """Note it."""
        self.filled.append(shard.partition)


async def filled_by_a_check(client: Client, shard: Shard) -> list[int]:
    """Return which shards are to be filled again after a check."""
    owner = Checking(client, shard)
    await owner.check({shard.partition: shard.applied + 1}, 5.0)
    return owner.filled


async def test_a_shard_that_a_server_has_closed_again_is_filled_and_goes_live(
    client: Client, view: ShardView, log: Log
) -> None:
    await log.enrol("u", "c00")
    shard, refresher = await opened(client, view), Refresher(client, 5, 8)
    before = await kept(client)
    await refresher.round([shard], serving())
    assert shard.meta.status == Status.LIVE and await filled_by_a_check(client, shard) == []
    await put_back(client, before)
    assert await filled_by_a_check(client, shard) == [0]
