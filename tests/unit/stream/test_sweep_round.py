"""Sweeps that newer epochs come to while they are under way, and late lists of older ones."""

import pytest

from adapters.redis import Client
from stream.refresh import Refresher
from stream.view import ShardView
from tests.served import Log, enrolled, listed, marks, serving, watched
from tests.unit.stream.test_sweep import opened, swept


@pytest.mark.parametrize("batch", [2, 3, 4, 8])
async def test_newer_epochs_amid_a_sweep_go_on_from_there_and_come_round(
    client: Client, view: ShardView, log: Log, batch: int
) -> None:
    users = [f"u{i}" for i in range(8)]
    await log.append(*(enrolled(user, "c00") for user in users))
    refresher, recommender = Refresher(client, 5, 8), watched()
    await refresher.drain(view, serving())
    stood = await refresher.sweep(view, serving(6, 3), "", 3)
    assert stood == "6 3 5"
    places = await swept(client, view, serving(6, 4, recommender), batch)
    assert places[0] == (">5 6 4 +inf" if batch == 8 else f">5 6 4 {5 - batch}") and places[-1] == "6 4 -inf"
    assert {one.version[:2] for user in users if (one := await listed(client, user))} == {(6, 4)}
    assert recommender.learners == 8


async def test_another_model_amid_a_sweep_begins_with_who_was_active_last(
    client: Client, view: ShardView, log: Log
) -> None:
    await log.append(*(enrolled(f"u{i}", "c00") for i in range(8)))
    refresher = Refresher(client, 5, 8)
    await refresher.drain(view, serving())
    assert await refresher.sweep(view, serving(6, 3), "", 3) == "6 3 5"
    assert await refresher.sweep(view, serving(7, 3), "6 3 5", 3) == "7 3 5"


async def test_epochs_that_change_all_the_time_keep_the_new_model_from_nobody(
    client: Client, view: ShardView, log: Log
) -> None:
    users = [f"u{i:02d}" for i in range(40)]
    await log.append(*(enrolled(user, "c00") for user in users))
    refresher, recommender, stood = Refresher(client, 5, 8), watched(), ""
    await refresher.drain(view, serving())
    for catalogue_epoch in range(10, 17):  # once round, and the step in which it comes to the top again
        stood = await refresher.sweep(view, serving(6, catalogue_epoch, recommender), stood, 8)
    assert {one.version.model_epoch for user in users if (one := await listed(client, user))} == {6}


async def test_a_late_list_of_the_old_model_is_made_anew(client: Client, view: ShardView, log: Log) -> None:
    """By a worker that has yet to load the new one, when the sweep is past the newcomer."""
    await log.enrol("u", "c00")
    await swept(client, view, serving(6), 4)
    await log.enrol("newcomer", "c01")
    await Refresher(client, 5, 8).drain(view, serving(5))
    await Refresher(client, 5, 8).drain(view, serving(6))
    found = await listed(client, "newcomer")
    assert found is not None and found.version.model_epoch == 6 and await marks(client) == set()


async def test_a_worker_that_stays_behind_works_all_the_same(client: Client, view: ShardView, log: Log) -> None:
    await swept(client, view, serving(6), 4)
    await log.enrol("newcomer", "c01")
    refresher, shard = Refresher(client, 5, 8), await opened(client, view)
    while await refresher.round([shard], serving(5)):
        pass
    assert await listed(client, "newcomer") is not None and await marks(client) == set()
