"""The owner of shards over a real log and server: what makes it fill a shard again, and what it never skips."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaTimeoutError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from adapters.kafka import open_reader, read_range
from deploy.embedded import EmbeddedStack
from schemas.meta import Status
from schemas.topics import LEARNER_EVENTS
from stream import shards
from stream.shards import Phase, Shard
from stream.view import open_shard, read_meta
from tests.integration.house import SHARD, House, open_house, users_of
from tests.waiting import until


@pytest.fixture
async def house(stack: EmbeddedStack) -> AsyncIterator[House]:
    """Own the shard on an empty server, and wait until it is open."""
    async with open_house(stack) as house:
        yield house


def holes(records: Sequence[ConsumerRecord]) -> list[ConsumerRecord]:
    return [*records[:3], *records[5:]]


async def test_what_is_delivered_in_order_is_merged_as_one_run(house: House) -> None:
    users = users_of("order", 5)
    records = await house.append(*users)
    house.runs.clear()
    await house.owner.take(records)
    assert [(run.first, run.last) for run in house.runs] == [(records[0].offset, records[-1].offset)]
    assert set(users) <= await house.learners() and house.flow.pauses == 1


async def test_a_hole_in_a_batch_is_filled_from_the_log(house: House) -> None:
    users = users_of("hole", 9)
    records = await house.append(*users)
    await house.owner.take(holes(records))
    await house.opened(2)
    assert set(users) <= await house.learners()
    assert await house.applied() == records[-1].offset == house.flow.resumed_at[-1] - 1


async def test_what_a_rebalance_delivers_again_after_something_new_is_no_loss(house: House) -> None:
    users = users_of("again", 9)
    records = await house.append(*users)
    await house.owner.take(records[:-1])
    await house.owner.take([records[-1], *records[:-1]])
    assert set(users) <= await house.learners()
    assert await house.applied() == records[-1].offset and house.flow.pauses == 1


async def test_a_gap_is_filled_and_the_intake_goes_on_behind_it(house: House) -> None:
    users = users_of("gap", 6)
    records = await house.append(*users)
    house.flow.let_go.clear()
    await house.owner.take(records[3:])
    assert house.shard.phase == Phase.FILLING
    await house.owner.take(records[5:])  # what was buffered meanwhile is the filler's
    assert not set(users) & await house.learners()
    house.flow.let_go.set()
    await house.opened(2)
    assert set(users) <= await house.learners()
    assert house.flow.resumed_at[-1] == records[-1].offset + 1


async def test_a_healthy_shard_is_left_alone(house: House) -> None:
    records = await house.append(*users_of("healthy", 2))
    await house.owner.take(records)
    await house.owner.check({SHARD: records[-1].offset + 1}, 0.0)
    assert house.shard.phase == Phase.OPEN and house.flow.pauses == 1


async def lose(house: House, how: str) -> None:
    """Do to the state what is done to servers."""
    meta = house.keys.meta
    if how == "emptied":
        await house.client.flushall()
    elif how == "another's":
        await house.client.hset(meta, "nonce", "f" * 32)
    elif how == "restored":
        await house.client.hset(meta, "applied", str(house.shard.applied - 2))


@pytest.mark.parametrize("how", ["emptied", "another's", "restored"])
async def test_a_state_that_was_lost_while_idle_is_found_by_the_timer(house: House, how: str) -> None:
    users = users_of(how, 5)
    await house.owner.take(await house.append(*users))
    end = house.shard.applied + 1
    await lose(house, how)
    await house.owner.check({SHARD: end}, 60.0)
    await house.opened(2)
    assert set(users) <= await house.learners() and await house.applied() == end - 1
    meta = await read_meta(house.client, house.keys)
    assert meta is not None and meta.nonce == house.shard.view.nonce


@pytest.mark.parametrize("how", ["emptied", "another's", "restored"])
async def test_a_state_that_was_lost_is_found_by_the_next_merge(house: House, how: str) -> None:
    before, after = users_of(f"{how} before", 5), users_of(f"{how} after", 2)
    await house.owner.take(await house.append(*before))
    await lose(house, how)
    await house.owner.take(await house.append(*after))
    await house.opened(2)
    assert {*before, *after} <= await house.learners()


@pytest.mark.parametrize(("patience_s", "fills"), [(60.0, 1), (0.0, 2)])
async def test_a_shard_that_nothing_is_delivered_of_is_filled_after_a_while(
    house: House, patience_s: float, fills: int
) -> None:
    users = users_of(f"undelivered {fills}", 3)
    records = await house.append(*users)
    await house.owner.check({SHARD: records[-1].offset + 1}, patience_s)
    await house.opened(fills)
    assert (set(users) <= await house.learners()) == (fills == 2)


async def test_a_log_that_ends_before_what_was_applied_is_looked_into(house: House) -> None:
    await house.owner.take(await house.append(*users_of("replaced", 3)))
    await house.owner.check({SHARD: house.shard.applied}, 0.0)
    await house.opened(2)


async def test_a_state_that_is_ahead_of_the_log_is_rebuilt_with_an_alarm(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """The topic was made anew, or the server restored from a newer backup."""
    users = users_of("ahead", 3)
    records = await house.append(*users)
    await house.owner.take(records)
    ghost = house.keys.history("ghost")
    await house.client.hset(ghost, "c", b"\0" * 7 + b"\1" + b"\0" * 16)
    fields: dict[Any, Any] = {"applied": str(records[-1].offset + 1_000), "status": Status.LIVE, "nonce": "f" * 32}
    await house.client.hset(house.keys.meta, mapping=fields)
    with caplog.at_level(logging.ERROR, "stream.shards"):
        await house.owner.check({}, 60.0)
        await house.opened(2)
    assert "ALARM" in caplog.text and f"has applied {records[-1].offset + 1_000}" in caplog.text
    assert await house.applied() == records[-1].offset and set(users) <= await house.learners()
    assert not await house.client.exists(ghost)
    meta = await read_meta(house.client, house.keys)
    assert meta is not None and meta.status == Status.BUILDING


@pytest.mark.parametrize("which", ["counts", "dirty", "learners"])
async def test_damage_to_what_all_learners_share_is_found_though_nothing_comes(house: House, which: str) -> None:
    """Else a worker that it ended would be ended by it again."""
    users, key = users_of(f"damaged {which}", 3), getattr(house.keys, which)
    await house.owner.take(await house.append(*users))
    await house.client.delete(key)
    await house.client.set(key, "of another type")
    house.owner.refill(house.shard)
    await house.opened(2)
    assert set(users) <= await house.learners() and await house.client.type(key) != b"string"


async def test_an_owner_who_lost_the_shard_does_not_set_it_going(house: House) -> None:
    house.flow.let_go.clear()
    house.owner.refill(house.shard)
    await asyncio.sleep(0.05)
    filling = house.shard.filling
    house.owner.release()
    house.flow.let_go.set()
    assert filling is not None
    await asyncio.wait_for(filling, 10)
    assert len(house.flow.resumed_at) == 1


async def test_a_shard_that_is_no_longer_owned_is_not_filled(house: House) -> None:
    shard = house.shard
    house.owner.assign([SHARD])
    await house.opened(2)
    house.owner.refill(shard)
    assert shard.filling is not None and shard.filling.done() and house.flow.pauses == 2


async def test_what_ends_a_filler_is_raised(house: House) -> None:
    await house.client.delete(house.keys.meta)
    await house.client.set(house.keys.meta, "no hash")
    house.owner.refill(house.shard)
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await house.opened(2)
    await house.client.delete(house.keys.meta)


class HeldUp(AIOKafkaProducer):  # type: ignore[misc]  # aiokafka has no types
    """A producer that Kafka does not answer until it is let go."""

    held_up = True
    tries = 0

    async def send(self, *args: Any, **settings: Any) -> Any:
        """Give up as the real one does when Kafka is away."""
        self.tries += 1
        if self.held_up:
            raise KafkaTimeoutError
        return await super().send(*args, **settings)


async def test_nothing_is_merged_past_a_dead_letter_that_is_not_kept_yet(house: House) -> None:
    await house.producer.send_and_wait(LEARNER_EVENTS, b"no event", partition=SHARD)
    records = await house.append(*users_of("behind the dead", 1))
    partition = TopicPartition(LEARNER_EVENTS, SHARD)
    async with open_reader(house.bootstrap) as reader:
        async for dead, _ in read_range(reader, partition, records[0].offset - 1, records[0].offset):
            records = [*dead, *records]
    before = await house.applied()
    async with HeldUp(bootstrap_servers=house.bootstrap, acks="all") as producer:
        house.owner.release()
        house.owner = house.make_owner(producer)
        house.owner.shards[SHARD] = shard = Shard(SHARD)
        shard.view, meta = await open_shard(house.client, house.keys, 0)
        shard.applied, shard.phase = meta.applied, Phase.OPEN
        taking = asyncio.create_task(house.owner.take(records))

        async def holds() -> bool:
            return bool(producer.tries > 2)

        await until(holds, "the letter tried again and again", 60)
        assert await house.applied() == before and not taking.done()
        producer.held_up = False
        await asyncio.wait_for(taking, 60)
    assert await house.applied() == records[-1].offset


async def test_a_live_shard_far_behind_is_filled_and_its_lists_are_refreshed_meanwhile(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "BACKLOG", 20)
    users = users_of("backlog", 30)
    assert await house.shard.view.set_status(house.client, Status.LIVE)
    end = (await house.append(*users))[-1].offset + 1
    await house.owner.check({SHARD: end - 15}, patience_s=1e9)
    assert house.flow.pauses == 1, "the agent will do that"
    await house.owner.check({SHARD: end}, patience_s=1e9)
    seen: list[bool] = []
    monkeypatch.setattr(house.owner, "_merged", lambda *_: seen.append(house.shard in house.owner.open_shards()))
    await house.opened(2)
    assert seen and all(seen), "who is live stays in sight of the refresh"
    assert house.flow.resumed_at[-1] == end
    assert set(users) <= await house.learners()


async def _refuse(*_: Any, **__: Any) -> None:
    raise RedisConnectionError("the node is away")


async def _hang(*_: Any, **__: Any) -> None:
    await asyncio.sleep(1)
    raise RedisConnectionError("the node did not answer")


@pytest.mark.parametrize("answer", [_refuse, _hang])
async def test_a_shard_whose_server_is_away_is_left_to_its_filler_and_the_agent_goes_on(
    house: House, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    records = await house.append(*users_of("away", 3))
    with monkeypatch.context() as patch:
        patch.setattr(shards, "PATIENCE_S", 0.1)
        patch.setattr(house.client, "evalsha", answer)
        await house.owner.take(records)
        assert house.shard.phase == Phase.FILLING and house.flow.pauses == 2
        await asyncio.sleep(0.2)
        assert len(house.flow.resumed_at) == 1
    await house.opened(2)
    assert await house.applied() == records[-1].offset


async def test_one_check_that_is_not_answered_in_time_closes_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "CHECK_S", 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(shards, "read_meta", _hang)
        for phase in (Phase.OPEN, Phase.OPEN, Phase.FILLING):
            await house.owner.check({}, 60.0)
            assert house.shard.phase == phase
    await house.opened(2)


async def test_a_server_that_takes_no_writes_is_not_reached(house: House) -> None:
    await house.owner.reach()
    await house.client.config_set("maxmemory", 1)
    try:
        with pytest.raises(ResponseError, match="used memory"):
            await house.owner.reach()
    finally:
        await house.client.config_set("maxmemory", 0)
    assert not await house.client.keys("*never"), "nothing is left of a look"


async def test_a_live_state_that_went_back_is_closed_until_its_lists_are_made_anew(house: House) -> None:
    before = await house.applied()
    assert await house.shard.view.set_status(house.client, Status.LIVE)
    records = await house.append(*users_of("back", 3))
    await house.owner.take(records)
    await house.client.hset(house.keys.meta, "applied", str(before))
    await house.owner.check({}, 1e9)
    await house.opened(2)
    meta = await read_meta(house.client, house.keys)
    assert meta is not None and (meta.status, meta.applied) == (Status.BUILDING, records[-1].offset)
    assert house.shard.meta.status == Status.BUILDING, "the refresh lets readers have it again"
