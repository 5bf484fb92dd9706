"""A record that breaks the code, in the hands of its shard's owner; and what is never mistaken for one."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from aiokafka import ConsumerRecord

import stream.merge
from adapters.follow import ControlLog
from adapters.redis import Script
from deploy.embedded import EmbeddedStack
from schemas.control import RecordQuarantined, encode_control
from schemas.topics import DEAD_LETTERS, LEARNER_EVENTS
from stream.dead_letters import PRODUCER
from stream.halves import FREE, BrokenCodeError, Odds, PoisonError
from stream.merge import LearnerUpdate
from stream.quarantine import pass_over
from stream.runs import Span
from stream.view import read_meta
from tests.integration.house import SHARD, House, open_house, users_of
from tests.integration.workers import System, read_topic
from tests.shard_state import read_counts
from tests.waiting import until

POISON: Final = "breaks-"


@pytest.fixture
async def house(stack: EmbeddedStack) -> AsyncIterator[House]:
    """Own the shard, open."""
    async with open_house(stack, **PRODUCER) as house:
        following = asyncio.create_task(house.control.run())
        yield house
        following.cancel()


@pytest.fixture
def system(stack: EmbeddedStack, tmp_path: Path) -> System:
    """Read topics of the stack."""
    return System(stack, tmp_path)


@pytest.fixture
def broken_join(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plant a bug: joining an event of some learners raises."""
    take = LearnerUpdate.take

    def planted(self: LearnerUpdate, event: Any, offset: int, appended_ms: int) -> None:
        if event.user_id.startswith(POISON):
            raise ZeroDivisionError("planted")
        take(self, event, offset, appended_ms)

    monkeypatch.setattr(LearnerUpdate, "take", planted)


@pytest.fixture
def broken_script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Plant a bug: the script breaks at some learners, after it has read and before it writes."""
    source = Path(stream.merge.__file__).with_name("merge.lua").read_text()
    name = "local user = sub(update, 3, user_end)"
    assert name in source
    script = tmp_path / "merge.lua"
    script.write_text(
        source.replace(name, f'{name}\n  if sub(user, 1, {len(POISON)}) == "{POISON}" then nil_value() end')
    )
    monkeypatch.setattr(stream.merge, "_MERGE", Script(script))


async def quarantined(house: House) -> set[int]:
    """Return the offsets of the shard that `control` says are quarantined."""
    async with ControlLog(house.bootstrap) as control:
        return {offset for _, partition, offset in control.state.quarantined if partition == SHARD}


async def letters(system: System, offset: int) -> list[str]:
    """Return the reasons of the dead letters of one offset of the shard."""
    found = []
    for letter in await read_topic(system, DEAD_LETTERS):
        headers = {name: value.decode() for name, value in letter.headers}
        if (headers["source-topic"], int(headers["source-partition"])) == (LEARNER_EVENTS, SHARD):
            found += [headers["reason"]] if int(headers["source-offset"]) == offset else []
    return found


async def append(house: House, name: str, count: int, *poisonous: int) -> list[ConsumerRecord]:
    """Append records of new learners, some of whom break the planted code; return them all."""
    good, bad = users_of(name, count), users_of(POISON + name, count)
    return await house.append(*(bad[i] if i in poisonous else good[i] for i in range(count)))


async def _knows(house: House, count: int) -> bool:
    return len(house.control.state.quarantined) >= count


async def _applied(house: House, offset: int) -> bool:
    return await house.applied() == offset


def offsets(records: list[ConsumerRecord], *places: int) -> set[int]:
    return {records[place].offset for place in places}


def users(records: list[ConsumerRecord], poisonous: bool) -> set[str]:
    found = {record.key.decode() for record in records}
    return {user for user in found if user.startswith(POISON) == poisonous}


@pytest.mark.usefixtures("broken_join")
async def test_records_that_break_the_joining_are_found_and_their_neighbours_merged(
    house: House, system: System
) -> None:
    before = await quarantined(house)
    records = await append(house, "join", 40, 0, 17, 18, 39)
    await house.owner.take(records)
    assert await house.applied() == records[-1].offset and house.flow.pauses == 1
    assert users(records, poisonous=False) <= await house.learners()
    assert not users(records, poisonous=True) & await house.learners()
    assert await quarantined(house) - before == offsets(records, 0, 17, 18, 39)
    for place in (0, 17, 18, 39):
        (reason,) = await letters(system, records[place].offset)
        assert "quarantined" in reason and "ZeroDivisionError: planted" in reason


@pytest.mark.usefixtures("broken_script")
async def test_records_that_break_the_script_are_found_and_their_neighbours_merged(
    house: House, system: System
) -> None:
    before = await quarantined(house)
    records = await append(house, "script", 30, 3, 29)
    await house.owner.take(records)
    assert await house.applied() == records[-1].offset
    assert users(records, poisonous=False) <= await house.learners()
    assert await quarantined(house) - before == offsets(records, 3, 29)
    (reason,) = await letters(system, records[29].offset)
    assert "nil_value" in reason


@pytest.mark.usefixtures("broken_join")
async def test_a_filler_quarantines_too_and_a_replaced_state_is_filled_without_them(house: House) -> None:
    before = await quarantined(house)
    records = await append(house, "filler", 20, 5, 11)
    house.owner.refill(house.shard)
    await house.opened(2)
    assert await quarantined(house) - before == offsets(records, 5, 11)
    assert users(records, poisonous=False) <= await house.learners()

    async def followed() -> bool:
        return offsets(records, 5, 11) <= {offset for *_, offset in house.control.state.quarantined}

    await until(followed, "the decisions", 60)
    control_end = house.control.state.offset
    await house.client.flushall()
    await house.owner.check({}, 60.0)
    await house.opened(3)
    assert users(records, poisonous=False) <= await house.learners()
    assert house.control.state.offset == control_end, "what is decided is not decided again"


@pytest.mark.usefixtures("broken_join")
async def test_a_decision_that_a_crash_cut_short_is_written_by_the_next_owner(house: House) -> None:
    records = await append(house, "crash", 2, 0)
    shard = house.shard
    span = Span(records[:1], records[0].offset, records[0].offset)
    note = RecordQuarantined(topic=LEARNER_EVENTS, partition=SHARD, offset=records[0].offset, reason="cut short")
    assert await pass_over(house.client, shard.view, span, encode_control(note)) == "OK"
    assert records[0].offset not in await quarantined(house)
    house.owner.assign([SHARD])
    await house.opened(2)
    assert records[0].offset in await quarantined(house)
    meta = await read_meta(house.client, house.keys)
    assert meta is not None and (meta.quarantine, meta.applied) == ("", records[-1].offset)


async def test_a_record_that_another_worker_has_merged_is_not_quarantined(house: House) -> None:
    """The other one's code does not break: replay must take the record in, as the state has."""
    before = await quarantined(house)
    records = await append(house, "zombie", 3)
    await house.owner.take(records)
    span = Span(records[1:2], records[1].offset, records[1].offset)
    assert await house.owner.quarantine.take_span(house.shard.view, span, PoisonError("planted")) == "SEEN"
    assert await quarantined(house) == before
    assert users(records, poisonous=False) <= await house.learners()


@pytest.mark.usefixtures("broken_join")
async def test_two_workers_that_quarantine_the_same_record_do_no_harm(house: House, system: System) -> None:
    before = await quarantined(house)
    records = await append(house, "both", 9, 4)
    other = house.make_owner(house.producer)
    other.shards[SHARD] = house.shard
    await asyncio.gather(house.owner.take(records), other.take(records))

    await until(lambda: _applied(house, records[-1].offset), "the end of the log", 60)
    assert await quarantined(house) - before == offsets(records, 4)
    assert users(records, poisonous=False) <= await house.learners()
    assert 1 <= len(await letters(system, records[4].offset)) <= 2


@pytest.mark.usefixtures("broken_join")
async def test_code_that_breaks_on_nearly_everything_ends_the_worker(house: House) -> None:
    before = await quarantined(house)
    house.owner.quarantine.odds = Odds()  # that of a worker which has just started
    records = await append(house, "all", 30, *range(30))
    with pytest.raises(BrokenCodeError, match="it is the code"):
        await house.owner.take(records)
    assert len(await quarantined(house) - before) == FREE

    await until(lambda: _knows(house, len(before) + FREE), "what control says", 60)
    again = house.make_owner(house.producer)  # as after a restart
    again.shards[SHARD] = house.shard
    with pytest.raises(BrokenCodeError, match="it is the code"):
        await again.take(records)
    assert len(await quarantined(house) - before) == FREE + 1, "one a life, so that it gets on at all"


class Trouble(NamedTuple):
    """How a server is brought into trouble, and out of it."""

    into: tuple[str, ...]
    out_of: tuple[str, ...]


TROUBLES: Final = {
    "out of memory": Trouble(("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
    "read-only": Trouble(("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
async def test_a_server_in_trouble_is_waited_for_and_nothing_is_quarantined(
    house: House, caplog: pytest.LogCaptureFixture, trouble: Trouble
) -> None:
    before = await quarantined(house)
    records = await append(house, trouble.into[-1] + trouble.into[0], 4)
    await house.client.execute_command(*trouble.into)
    try:
        taking = asyncio.create_task(house.owner.take(records))

        async def holds() -> bool:
            return caplog.text.count("Redis is unavailable") >= 3

        await until(holds, "several tries", 60)
        assert not taking.done()
    finally:
        await house.client.execute_command(*trouble.out_of)
    await asyncio.wait_for(taking, 60)
    assert await quarantined(house) == before
    await until(lambda: _applied(house, records[-1].offset), "the end of the log", 60)
    assert users(records, poisonous=False) <= await house.learners()


@pytest.mark.parametrize("how", ["cut short", "of another type"])
async def test_a_damaged_state_is_rebuilt_from_the_log_and_quarantines_nothing(
    house: House, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    before, users = await quarantined(house), users_of(how, 3)
    await house.owner.take(await house.append(*users))
    counts, history = await read_counts(house.client, house.keys), house.keys.history(users[1])
    if how == "cut short":
        await house.client.hset(history, "c", "short")
    else:
        await house.client.delete(history)
        await house.client.set(history, "no hash")
    await house.owner.take(await house.append(*users))
    await house.opened(2)
    assert caplog.text.count("ALARM: the state of shard 1 is damaged") == 1
    assert await quarantined(house) == before
    assert set(users) <= await house.learners()
    assert await read_counts(house.client, house.keys) == counts
