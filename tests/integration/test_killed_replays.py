"""Replays that are killed, told to end, suspended or started twice, and workers that do not hear of a swap."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

import stream.lease
from adapters.follow import ControlLog
from adapters.kafka import open_reader
from deploy.this_python import dying_with_us
from schemas.errors import NotReadyError
from schemas.events import Enrolled
from schemas.keys import REPLAY
from schemas.topics import LEARNER_EVENTS
from stream.digest import digest_as_of, live_digest, range_as_of
from stream.generation import retire_older
from stream.replay import Rebuild, rebuild
from tests.integration.replays import USERS, Tools, expect_retired, keys_of, open_tools, some_events
from tests.integration.workers import PARTITIONS, System, running_system
from tests.reference import Logged
from tests.waiting import PATIENCE_S, until


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Run two workers over four shards with a live model."""
    with running_system(tmp_path_factory.mktemp("killed"), ("w1", "w2")) as running:
        yield running


LOG: Final[list[Logged]] = []


@pytest.fixture
async def tools(system: System) -> AsyncIterator[Tools]:
    """Connect; the log holds some hundred events from the first test on."""
    async with open_tools(system, LOG, 300) as tools:
        yield tools


def start_replay(system: System, phase: str, reached: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    """Start `coursestream replay`, which will stand still in a phase."""
    environment = {**os.environ, **system.addresses}
    command = (sys.executable, "-m", "tests.stuck_replay", phase, str(reached), "replay", *arguments)
    return subprocess.Popen(dying_with_us(*command), env=environment, cwd=Path(__file__).parents[2])


@asynccontextmanager
async def stuck(tools: Tools, phase: str, scratch: Path, *arguments: str) -> AsyncIterator["subprocess.Popen[bytes]"]:
    """Run a replay until it stands still in a phase; it is killed at the end, unless it has ended by then."""
    reached = scratch / "reached"
    process = start_replay(tools.system, phase, reached, *arguments)

    async def holds() -> bool:
        assert process.poll() is None, "it ended by itself"
        return reached.exists()

    try:
        await until(holds, phase, 2 * PATIENCE_S)
        assert await tools.client.exists(REPLAY), "it holds the lease"
        yield process
    finally:
        process.kill()
        process.wait()


async def killed(tools: Tools, phase: str, scratch: Path) -> int:
    """Kill a replay with `--swap` in a phase, and let its lease run out; return the generation it was filling."""
    generation = await tools.generation() + 1
    async with stuck(tools, phase, scratch, "--swap"):
        pass
    assert len(await keys_of(tools.client, generation)) > 1, "it has filled something"
    await tools.client.pexpire(REPLAY, 1)
    return generation


async def expect_nothing_else(tools: Tools, generation: int) -> None:
    """Wait until no key is left but those of a generation, and metas of older ones that refuse zombies."""

    async def holds() -> bool:
        found: Any = await tools.client.keys("cs:{[0-9]*}:[0-9]*")
        parts = [key.decode().split(":", 3)[2:] for key in found]
        return all(int(one[0]) == generation or (int(one[0]) < generation and one[1] == "m") for one in parts)

    await until(holds, f"nothing but generation {generation}")


@pytest.mark.parametrize("phase", ["filling", "building lists"])
async def test_workers_clean_up_after_a_replay_that_was_killed(tools: Tools, tmp_path: Path, phase: str) -> None:
    unfinished = await killed(tools, phase, tmp_path)
    await expect_nothing_else(tools, unfinished - 1)
    await tools.expect_whole()


async def test_the_next_replay_takes_the_place_of_one_killed_before_the_swap(tools: Tools, tmp_path: Path) -> None:
    unfinished = await killed(tools, "before the swap", tmp_path)
    assert await tools.generation() == unfinished - 1
    await tools.append(*some_events(2, 50))
    result = await rebuild(tools.system.connections, swap=True)
    assert result.generation == await tools.generation() == unfinished
    await tools.expect_whole()
    await expect_nothing_else(tools, unfinished)


async def test_a_swap_that_was_written_holds_though_the_replay_is_killed(tools: Tools, tmp_path: Path) -> None:
    swapped = await killed(tools, "after the swap", tmp_path)
    assert await tools.generation() == swapped
    await tools.append(*some_events(3, 50))
    await tools.expect_whole()
    await expect_retired(tools, swapped - 1)
    await expect_nothing_else(tools, swapped)


async def test_a_replay_that_is_told_to_end_leaves_nothing(tools: Tools, tmp_path: Path) -> None:
    live = await tools.generation()
    async with stuck(tools, "building lists", tmp_path, "--swap") as process:
        assert await keys_of(tools.client, live + 1)
        process.terminate()
        assert await asyncio.to_thread(process.wait, PATIENCE_S) == 1, "Ctrl-C is the same, where it is not ignored"
    assert await keys_of(tools.client, live + 1) == set()
    assert not await tools.client.exists(REPLAY)


async def test_a_second_replay_is_refused(tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream.lease, "LEASE_S", 4.0)  # the first one renews its own every three
    async with stuck(tools, "filling", tmp_path):
        with pytest.raises(NotReadyError, match="another replay is at work"):
            await rebuild(tools.system.connections)
    await tools.client.pexpire(REPLAY, 1)
    assert (await rebuild(tools.system.connections)).kept


async def test_a_replay_that_stood_still_for_too_long_spoils_nothing(tools: Tools) -> None:
    """Its lease has run out and another replay was done when it goes on, right before its swap."""
    live = await tools.generation()
    async with (
        ControlLog(tools.system.stack.bootstrap_servers) as control,
        open_reader(tools.system.stack.bootstrap_servers) as reader,
    ):
        late = Rebuild(tools.system.connections, tools.client, control, "late", lambda _done, _total: None)
        await tools.client.set(REPLAY, "late", px=60_000)
        await late.fill(await range_as_of(reader, None))
        await tools.client.delete(REPLAY)
        result = await rebuild(tools.system.connections)
        with pytest.raises(NotReadyError, match="another one began"):
            await late.swap("")
        await late.delete_unfinished()
    assert await tools.generation() == live
    assert (await live_digest(tools.system.connections, live + 1)).digest == result.digest


async def test_a_replay_does_not_swap_what_was_begun_before_another_swap(tools: Tools) -> None:
    async with ControlLog(tools.system.stack.bootstrap_servers) as before:
        await rebuild(tools.system.connections, swap=True)
        late = Rebuild(tools.system.connections, tools.client, before, "late", lambda _done, _total: None)
        with pytest.raises(NotReadyError, match="went live meanwhile"):
            await late.swap("")
    await tools.expect_whole()


async def test_a_worker_that_does_not_hear_of_a_swap_is_refused(tools: Tools, tmp_path: Path) -> None:
    system, heard = tools.system, tmp_path / "heard"
    system.kill("w2")
    system.start("w2", ("tests.late_control", str(heard)))
    await tools.append(*some_events(4, 50))

    async def is_ready() -> bool:
        return system.is_ready("w2")

    await until(is_ready, "the worker in its group", 2 * PATIENCE_S)
    old = await tools.generation()
    await rebuild(system.connections, swap=True)
    await retire_older(tools.client, old + 1, range(PARTITIONS))  # as another owner of its shards does
    await tools.append(*some_events(5, 10), wait=False)

    async def is_refused() -> bool:
        await tools.append(*some_events(6, 10), wait=False)
        return "RETIRED" in (system.folder / "w2.log").read_text()

    await until(is_refused, "a merge into the retired generation to be refused")
    assert all(key.endswith(":m") for key in await keys_of(tools.client, old)), "it wrote nothing there"
    heard.touch()
    await tools.expect_whole()
    await expect_retired(tools, old)


async def test_a_log_that_was_cut_at_its_start_is_said(tools: Tools, caplog: pytest.LogCaptureFixture) -> None:
    live = await live_digest(tools.system.connections)
    cut = {TopicPartition(LEARNER_EVENTS, shard): RecordsToDelete(20) for shard in (0, 2)}
    admin = AIOKafkaAdminClient(bootstrap_servers=tools.system.stack.bootstrap_servers)
    await admin.start()
    try:
        await admin.delete_records(cut)
    finally:
        await admin.close()
    result = await rebuild(tools.system.connections)
    assert (result.missing, result.complete) == (40, False)
    assert result.digest != live.digest
    assert "ALARM: the log has lost 40 records" in caplog.text
    found = await digest_as_of(tools.system.connections, 4_000_000_000_000)
    assert (found.digest, found.missing) == (result.digest, 40)
    with pytest.raises(NotReadyError, match="lacks 40 records at its start"):
        await rebuild(tools.system.connections, swap=True)


async def test_a_learner_is_not_lost_in_all_this(tools: Tools) -> None:
    """After all of the above the live state still takes events."""
    user = USERS[0]
    await tools.append(Enrolled(event_id="last", user_id=user, course_id="c03", occurred_at=1_706_000_000))
