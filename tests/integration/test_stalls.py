"""Workers that stall, each for real and in its own way: found, ended, started again; and none that is only slow."""

import asyncio
import io
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from adapters.follow import append_control
from adapters.redis import end_tasks
from deploy import keeper
from deploy.keeper import Child
from deploy.log_lines import LogLines
from deploy.probes import Heartbeat, file_exists
from deploy.supervisor import Supervisor
from schemas.keys import ShardKeys
from stream.watchdog import EXIT_STATUS, Sign
from tests.integration.campus import enrolled
from tests.integration.workers import System, connected, publish, wide_system
from tests.models import going_live, store_bundle
from tests.waiting import until

STALL_S: Final = 6.0
AWAY_S: Final = 8.0
FOUND: Final = {
    "loop": f"watchdog: {Sign.LOOP} for ",
    "compute": f"watchdog: {Sign.REFRESH} for ",
    "deaf": f"watchdog: {Sign.DELIVERY} for ",
    "filler": f"watchdog: {Sign.MERGE} for ",
    "loader": f"watchdog: {Sign.SLOW} for ",
    "follower": f"watchdog: {Sign.FOLLOW} for ",
    "outside": f"watchdog: {Sign.GROUP} for ",
    "agent": "CRITICAL stream.app the worker ends",
    "frozen": "frozen has shown no life for ",  # nothing of the process runs: its supervisor finds it
}
"""What is said of each way to stall."""
PATIENCE_S: Final = 240.0


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Run a stack with as many shards as there are ways to stall; the workers are the test's."""
    folder = tmp_path_factory.mktemp("stalls")
    with wide_system(folder, ["first"], len(FOUND)) as running:
        running.stop("first")
        yield running


def planted(system: System, kind: str) -> Child:
    """Return a worker that will stall, as `up` would run it."""
    ready_file = system.folder / f"{kind}.ready"
    command = (sys.executable, "-m", "tests.integration.planted", kind, str(system.folder))
    environment = {**system.environment(kind), "STALL_S": str(STALL_S)}
    return Child(
        kind,
        command,
        ready=partial(file_exists, ready_file),
        alive=Heartbeat(ready_file),
        environment=environment,
        prepare=partial(ready_file.unlink, missing_ok=True),
    )


@asynccontextmanager
async def events(system: System) -> AsyncIterator[None]:
    """Publish some events for every shard again and again."""
    async with connected(system) as (_, producer):

        async def publish_on() -> None:
            for second in range(10**9):
                await publish(producer, [enrolled(f"stalls-{user}", second) for user in range(40)])
                await asyncio.sleep(0.4)

        task = asyncio.create_task(publish_on())
        try:
            yield
        finally:
            await end_tasks([task])


class Watch:
    """Notes how long after each stall came it was found."""

    def __init__(self, folder: Path, said: io.StringIO) -> None:
        self._folder, self._said = folder, said
        self.seconds: dict[str, float] = {}

    def _look(self, kind: str) -> None:
        came = self._folder / f"{kind}.done"
        speaker = "up" if kind == "frozen" else kind
        lines = [line for line in self._said.getvalue().splitlines() if line.startswith(f"{speaker:<9} | ")]
        if came.exists() and any(FOUND[kind] in line for line in lines):
            self.seconds[kind] = time.time() - came.stat().st_mtime

    async def run(self) -> None:
        """Look for what was not found yet."""
        while True:
            for kind in FOUND.keys() - self.seconds.keys():
                self._look(kind)
            await asyncio.sleep(0.1)

    async def all_found(self) -> bool:
        """Whether each stall was found."""
        return self.seconds.keys() == FOUND.keys()

    async def all_again(self) -> bool:
        """Whether the supervisor started each of them again."""
        said = self._said.getvalue()
        return all(f"{kind} ended with status {self._status(kind)}; starting it again" in said for kind in FOUND)

    def _status(self, kind: str) -> int:
        return -signal.SIGKILL if kind == "frozen" else EXIT_STATUS


@pytest.mark.timeout(900)
async def test_each_stall_is_found_and_its_worker_started_again(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "LOOK_S", 1.0)
    monkeypatch.setattr(keeper, "READY_S", PATIENCE_S)
    said = io.StringIO()
    watch = Watch(system.folder, said)
    with LogLines(said) as log:
        async with Supervisor(log) as supervisor:
            watching = asyncio.create_task(watch.run())
            try:
                await _stall_all(system, supervisor, watch)
            finally:
                print(said.getvalue()[-30_000:])
                print("found after s:", {kind: round(seconds, 1) for kind, seconds in watch.seconds.items()})
                await end_tasks([watching])
            async with connected(system) as (client, _):
                await system.caught_up(client, patience_s=PATIENCE_S)
            assert supervisor.pids.keys() == FOUND.keys()


async def _has_come(system: System, kind: str) -> bool:
    return (system.folder / f"{kind}.done").exists()


async def _stall_all(system: System, supervisor: Supervisor, watch: Watch) -> None:
    async with events(system):
        await supervisor.start(*(planted(system, kind) for kind in FOUND))
        (system.folder / "go").touch()
        (system.folder / "frozen.done").touch()
        os.kill(supervisor.pids["frozen"], signal.SIGSTOP)
        manifest = store_bundle(system.bundles, system.folder, 1)
        await until(partial(_has_come, system, "follower"), "a follower that hangs", PATIENCE_S)  # with more to read
        await append_control(system.stack.bootstrap_servers, *going_live(manifest))
        async with connected(system) as (client, _):
            for shard in range(system.partitions):  # each is filled again
                await client.hset(ShardKeys(shard, 0).meta, "nonce", "f" * 32)
        await until(watch.all_found, "every stall found", PATIENCE_S)
        await until(watch.all_again, "every worker again", PATIENCE_S)


async def test_a_worker_that_waits_or_is_busy_is_left_alone(system: System) -> None:
    """Nothing to do, a long fill, a sweep, its server away, its broker away: none is a stall."""
    async with connected(system) as (client, producer):
        users = [f"patient-{i}" for i in range(2_000)]
        await publish(producer, [enrolled(user, 1) for user in users])
        system.start("patient", STALL_S=str(STALL_S), CHECK_INTERVAL_S="0.5")
        pid = system.processes["patient"].pid
        await system.caught_up(client, patience_s=PATIENCE_S)
        await client.client_pause(int(AWAY_S * 1_000))
        await publish(producer, [enrolled(user, 2) for user in users])
        await system.caught_up(client, patience_s=PATIENCE_S)
        manifest = store_bundle(system.bundles, system.folder, 2)
        await append_control(system.stack.bootstrap_servers, *going_live(manifest))
        broker = system.stack.pids["kafka"]
        os.kill(broker, signal.SIGSTOP)
        await asyncio.sleep(AWAY_S)
        os.kill(broker, signal.SIGCONT)
        await publish(producer, [enrolled(user, 3) for user in users])
        await system.caught_up(client, patience_s=PATIENCE_S)
        assert system.processes["patient"].pid == pid and "watchdog:" not in system.log()
    system.stop("patient")
