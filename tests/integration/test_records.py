"""Hostile records, records that break the code and their dead letters, in the hands of running workers."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from adapters.follow import ControlLog
from adapters.kafka import end_offsets, open_producer, open_reader
from cli.app import run
from schemas.events import Viewed, encode_event
from schemas.topics import ACTIVITY, DEAD_LETTERS, LEARNER_EVENTS, MAX_MESSAGE_BYTES
from stream.digest import live_digest
from stream.replay import rebuild
from tests import reference
from tests.integration.campus import Tools, enrolled, some_event, state_of
from tests.integration.hostile import TOPICS, bomb, hostile, huge, learner_of, odd
from tests.integration.poisoned import FOLD_BUG, SCRIPT_BUG, VIEW_BUG
from tests.integration.workers import PARTITIONS, System, connected, publish, read_topic, running_system, send
from tests.reference import Logged
from tests.waiting import until
from tests.wire import GZIP, ZSTD, Wire, batch_of, send_raw
from trainer.log import read_log

BAD: Final = 10_000
HUGE: Final = 24
BATCH: Final = 50
GOOD: Final = 8
WORKERS: Final = ("w1", "w2")
PATIENCE_S: Final = 120.0

Place = tuple[str, int, int]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Run two workers in which bugs are planted."""
    folder = tmp_path_factory.mktemp("records")
    with running_system(folder, WORKERS, module="tests.integration.poisoned") as running:
        yield running


@pytest.fixture
async def tools(system: System) -> AsyncIterator[Tools]:
    """Connect."""
    async with connected(system) as (client, producer):
        yield Tools(system, client, producer)


async def letters(system: System) -> dict[Place, dict[str, str]]:
    """Return the headers of the dead letters by where their records stood."""
    found = {}
    for letter in await read_topic(system, DEAD_LETTERS):
        said = {name: (value or b"").decode(errors="replace") for name, value in letter.headers}
        found[said["source-topic"], int(said["source-partition"]), int(said["source-offset"])] = said
    return found


async def written(system: System) -> int:
    """Return how many dead letters there are, each as often as it was written."""
    async with open_reader(system.stack.bootstrap_servers) as reader:
        return sum((await end_offsets(reader, DEAD_LETTERS)).values())


class Sender:
    """Writes batches in which good and bad records stand side by side, and notes which is which."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self.dice = random.Random(42)
        self.bad: set[Place] = set()
        self.log: list[Logged] = []
        self.viewed = 0

    def _good(self, topic: str, shard: int) -> Any:
        user = learner_of(self.dice, shard)
        if topic == LEARNER_EVENTS:
            return some_event(self.dice, [user])
        return Viewed(event_id="v", user_id=user, course_id="c03", occurred_at=5)

    async def send(self, bad: int, kind: Any = hostile) -> None:
        """Append one batch with so many bad records."""
        topic, shard = self.dice.choice(TOPICS), self.dice.randrange(PARTITIONS)
        records: list[Any] = [kind(self.dice, topic, shard) for _ in range(bad)]
        records += [self._good(topic, shard) for _ in range(GOOD)]
        self.dice.shuffle(records)
        wires = [one if isinstance(one, Wire) else odd(self.dice, Wire(encode_event(one))) for one in records]
        batch = batch_of(wires, self.dice.choice((0, 0, GZIP, ZSTD)))
        sent = await send_raw(self._producer, batch, len(wires), topic, shard)
        for offset, one in enumerate(records, sent.offset):
            if isinstance(one, Wire):
                self.bad.add((topic, shard, offset))
            elif topic == LEARNER_EVENTS:
                self.log.append(Logged(one, sent.timestamp))
            else:
                self.viewed += 1


async def test_ten_thousand_hostile_records_are_as_many_dead_letters_and_harm_nobody(tools: Tools) -> None:
    system, pids = tools.system, [process.pid for process in tools.system.processes.values()]
    before, began = await letters(system), time.monotonic()
    raw = AIOKafkaProducer(
        bootstrap_servers=system.stack.bootstrap_servers, max_request_size=2 * MAX_MESSAGE_BYTES, linger_ms=0
    )
    async with raw:
        sender = Sender(raw)
        for _ in range((BAD - HUGE) // BATCH):
            await sender.send(BATCH)
        await sender.send((BAD - HUGE) % BATCH)
        for _ in range(HUGE):
            await sender.send(1, huge)
        with pytest.raises(MessageSizeTooLargeError):
            await send_raw(raw, batch_of([bomb(60_000_000)], GZIP), 1, LEARNER_EVENTS, 0)
    assert len(sender.bad) == BAD

    async def all_found() -> bool:
        system.expect_alive()
        return await written(system) >= len(before) + BAD and len(await letters(system)) >= len(before) + BAD

    await until(all_found, f"{BAD} dead letters", PATIENCE_S)
    await system.caught_up(tools.client)
    after = await letters(system)
    assert after.keys() - before.keys() == sender.bad
    assert all(after[place]["reason"] for place in sender.bad)
    print(f"{BAD} hostile records: {len(sender.bad)} dead letters, 0 restarts, {time.monotonic() - began:.1f} s")
    states, wanted = await state_of(tools.client), reference.learners(sender.log)
    assert len(wanted) > 500 and {user: states.get(user) for user in wanted} == wanted
    assert [process.pid for process in system.processes.values()] == pids
    live, replayed = await live_digest(system.connections), await rebuild(system.connections)
    assert live.digest == replayed.digest and sender.viewed > 100


async def quarantined(system: System) -> set[Place]:
    """Return what `control` says is quarantined."""
    async with ControlLog(system.stack.bootstrap_servers) as control:
        return set(control.state.quarantined)


async def append_broken(tools: Tools, name: str) -> tuple[list[Logged], set[Place]]:
    """Append records that break the planted code among good ones; return all that are hard state, and the places."""
    log, places = [], set()
    for i in range(30):
        log += await publish(tools.producer, [enrolled(f"{name}-{i}", 1)])
        if i % 10 == 5:
            event = enrolled(f"{(FOLD_BUG, SCRIPT_BUG)[i // 10 % 2]}{name}-{i}", 2)
            sent = await send(tools.producer, event)
            log.append(Logged(event, sent.timestamp))
            places.add((LEARNER_EVENTS, sent.partition, sent.offset))
    for user in (f"{name}-view", f"{VIEW_BUG}{name}", f"{name}-view"):
        sent = await send(tools.producer, Viewed(event_id="v", user_id=user, course_id="c03", occurred_at=5))
        if user.startswith(VIEW_BUG):
            places.add((ACTIVITY, sent.partition, sent.offset))
    return log, places


async def expect_left_out(tools: Tools, log: list[Logged], places: set[Place], before: set[Place]) -> None:
    """Wait until exactly these records are quarantined; all others must be in the state, and replay must agree."""
    system = tools.system

    async def decided() -> bool:
        system.expect_alive()
        return await quarantined(system) - before == places

    await until(decided, "the quarantine", PATIENCE_S)
    await system.caught_up(tools.client)
    await until(lambda: _are_letters(system, places), "their dead letters", PATIENCE_S)
    kept = [one for one in log if not one.event.user_id.startswith((FOLD_BUG, SCRIPT_BUG))]
    states = await state_of(tools.client)
    wanted = reference.learners(kept)
    assert {one.event.user_id: states.get(one.event.user_id) for one in log} == {
        one.event.user_id: wanted.get(one.event.user_id) for one in log
    }
    # This process runs code without bugs, which could take the records in: it obeys what `control` says.
    live, replayed = await live_digest(system.connections), await rebuild(system.connections)
    assert live.digest == replayed.digest


async def _are_letters(system: System, places: set[Place]) -> bool:
    found = await letters(system)
    return all("quarantined" in found.get(place, {}).get("reason", "") for place in places)


LOG: Final[list[Logged]] = []
"""What the tests below append, one after the other."""


async def test_records_that_break_the_code_of_running_workers_are_quarantined(tools: Tools) -> None:
    before = await quarantined(tools.system)
    log, places = await append_broken(tools, "agent")
    LOG.extend(log)
    await expect_left_out(tools, log, places, before)
    of_trainer = await read_log(tools.system.stack.bootstrap_servers)
    users = {event.user_id for event in of_trainer.events}
    assert {one.event.user_id for one in log if "bug" not in one.event.user_id} <= users
    assert not {one.event.user_id for one in log if "bug" in one.event.user_id} & users


async def test_fillers_quarantine_too_and_a_lost_state_comes_back_without_them(tools: Tools) -> None:
    system, before = tools.system, await quarantined(tools.system)
    for worker_id in WORKERS:
        await asyncio.to_thread(system.stop, worker_id)
    log, places = await append_broken(tools, "filler")
    LOG.extend(log)
    for worker_id in WORKERS:
        system.start(worker_id)
    await expect_left_out(tools, log, places, before)
    await tools.client.flushall()
    await expect_left_out(tools, log, places, before)


async def command(tmp_path: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Run a command line; return its exit status and what it answers to programs."""
    answer = tmp_path / "answer.json"
    status = await asyncio.to_thread(run, [*arguments, "--json", str(answer)])
    found: dict[str, Any] = json.loads(answer.read_text())
    return status, found


async def test_a_retry_takes_them_in_once_the_code_is_mended(
    tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = tools.system
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", system.stack.bootstrap_servers)
    monkeypatch.setenv("REDIS_URL", system.stack.redis_url)
    before = await quarantined(system)
    status, answer = await command(tmp_path, "dead-letters", "list", "--reason", "quarantined")
    assert status == 0 and answer["total"] == len(before) == 8
    assert {(one["topic"], one["partition"], one["offset"]) for one in answer["dead_letters"]} == before

    # Not mended yet: what is retried dies again, and says of what it was a retry.
    retry = ("dead-letters", "retry", "--reason", "quarantined", "--wait-s", "60")
    learner = next(place for place in before if place[0] == LEARNER_EVENTS)
    position = ":".join(str(part) for part in learner)
    status, answer = await command(tmp_path, *retry, "--offset", position)
    assert (status, answer["retried"], answer["taken"]) == (1, 1, 0)
    assert [one["retry_of"] for one in answer["died_again"]] == [position]

    for worker_id in WORKERS:
        await asyncio.to_thread(system.stop, worker_id)
    system.module = "stream"
    for worker_id in WORKERS:
        system.start(worker_id)
    status, answer = await command(tmp_path, *retry, "--all")
    assert (status, answer["retried"], answer["taken"], answer["died_again"]) == (0, 8, 8, [])
    await system.caught_up(tools.client)
    states, wanted = await state_of(tools.client), reference.learners(LOG)
    assert {user: states.get(user) for user in wanted} == wanted
    live, replayed = await live_digest(system.connections), await rebuild(system.connections)
    assert live.digest == replayed.digest

    status, answer = await command(tmp_path, *retry, "--all")
    assert (status, answer["retried"]) == (0, 0), "a repetition finds nothing left to retry"
    status, answer = await command(tmp_path, "dead-letters", "list", "--reason", "quarantined", "--retried")
    assert all(one["retried_as"] for one in answer["dead_letters"]) and answer["total"] == 9


async def test_a_retry_heals_a_record_in_the_wrong_partition_and_not_one_without_sense(
    tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = tools.system
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", system.stack.bootstrap_servers)
    monkeypatch.setenv("REDIS_URL", system.stack.redis_url)
    event = enrolled("astray", 3)
    shard = (await send(tools.producer, enrolled("astray", 2))).partition
    wrong = (shard + 1) % PARTITIONS
    astray = await tools.producer.send_and_wait(LEARNER_EVENTS, encode_event(event), partition=wrong)
    senseless = await tools.producer.send_and_wait(LEARNER_EVENTS, b"\xff", key=b"\xfe", partition=wrong)
    places = {(LEARNER_EVENTS, wrong, one.offset) for one in (astray, senseless)}

    async def dead() -> bool:
        return places <= (await letters(system)).keys()

    await until(dead, "both dead letters", PATIENCE_S)
    wanted = [option for one in (astray, senseless) for option in ("--offset", f"{wrong}:{one.offset}")]
    status, answer = await command(tmp_path, "dead-letters", "retry", *wanted, "--wait-s", "60")
    assert (status, answer["retried"], answer["taken"], answer["unknown"]) == (1, 2, 1, 0)
    assert [one["retry_of"] for one in answer["died_again"]] == [f"{LEARNER_EVENTS}:{wrong}:{senseless.offset}"]
    state = (await state_of(tools.client))["astray"]
    assert {cell[0] for cells in state.courses.values() for cell in cells.values()} == {3_000_000}


@pytest.mark.parametrize("key", [b"k", None])
async def test_a_retry_of_a_record_without_a_value_has_none_either(
    key: bytes | None, tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = tools.system
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", system.stack.bootstrap_servers)
    monkeypatch.setenv("REDIS_URL", system.stack.redis_url)
    async with open_producer(system.stack.bootstrap_servers, enable_idempotence=False) as raw:
        sent = await send_raw(raw, batch_of([Wire(None, key)]), 1, LEARNER_EVENTS, 0)

    async def dead() -> bool:
        return (LEARNER_EVENTS, 0, sent.offset) in await letters(system)

    await until(dead, "the dead letter", PATIENCE_S)
    retry = ("dead-letters", "retry", "--offset", f"0:{sent.offset}", "--wait-s", "60")
    _, answer = await command(tmp_path, *retry)
    assert [one["reason"] for one in answer["died_again"]] == ["the record has no value"]
