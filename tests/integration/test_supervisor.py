"""The embedded Kafka and Redis: their lock, their crashes, what they keep; and `up` around them."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from aiokafka import TopicPartition

from adapters.kafka import open_producer, open_reader, read_range
from deploy.backends import Configured, start_backends
from deploy.embedded import EmbeddedStack, embedded
from deploy.log_lines import LogLines
from deploy.probes import kafka_answers, until
from deploy.redis import SETTINGS
from deploy.supervisor import Supervisor
from schemas.errors import ConfigurationError, StateDirInUseError
from schemas.topics import ACTIVITY, LEARNER_EVENTS

_STAND_INS = {
    "api/__main__.py": """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/livez" else 404)
        self.end_headers()
http.server.HTTPServer((os.environ["API_HOST"], int(os.environ["API_PORT"])), Handler).serve_forever()
""",
    "stream/__main__.py": "import os, pathlib, time; pathlib.Path(os.environ['READY_FILE']).touch(); time.sleep(600)",
    "trainer/__main__.py": "import os, pathlib, time; pathlib.Path(os.environ['READY_FILE']).touch(); time.sleep(600)",
    "cli/app.py": "import os, sys; print('imports', sys.argv[2], 'into', os.environ['COURSESTREAM_STATE_DIR'])",
}
"""Roles that do nothing: what is tested here is how they are run."""

_UP = """
import asyncio, sys
from pathlib import Path
from deploy.up import UpOptions, up
from schemas.errors import CoursestreamError
try:
    options = UpOptions(Path(sys.argv[1]), Path(sys.argv[2]), 2, 0, Path(sys.argv[3]), 2)
    sys.exit(asyncio.run(up(options)))
except CoursestreamError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def wait_until(condition: Callable[[], object], what: str, timeout_s: float = 60) -> None:
    """Wait for a condition that other processes bring about."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Return whether a process runs (a zombie does not)."""
    status = Path("/proc", str(pid), "stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


async def produce(bootstrap_servers: str, value: bytes) -> int:
    """Append one record to the first shard; return its offset once the broker has it."""
    async with open_producer(bootstrap_servers) as producer:
        return int((await producer.send_and_wait(LEARNER_EVENTS, value, partition=0)).offset)


async def read_all(bootstrap_servers: str) -> list[bytes]:
    """Return all values of the first shard."""
    partition = TopicPartition(LEARNER_EVENTS, 0)
    async with open_reader(bootstrap_servers) as reader:
        end = (await reader.end_offsets([partition]))[partition]
        batches = [batch async for batch, _ in read_range(reader, partition, 0, end)]
    return [record.value for batch in batches for record in batch]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """A Kafka and a Redis."""
    with embedded(tmp_path_factory.mktemp("state"), partitions=2) as running:
        yield running


def test_redis_runs_with_the_settings_that_keep_state(stack: EmbeddedStack) -> None:
    with redis.Redis.from_url(stack.redis_url, decode_responses=True) as client:
        assert client.config_get(*SETTINGS) == SETTINGS
        assert client.config_get("bind") == {"bind": "127.0.0.1"}


async def test_both_halves_of_a_shard_have_as_many_partitions(stack: EmbeddedStack) -> None:
    async with open_reader(stack.bootstrap_servers) as reader:
        await reader.end_offsets([TopicPartition(LEARNER_EVENTS, 0), TopicPartition(ACTIVITY, 0)])
        assert reader.partitions_for_topic(LEARNER_EVENTS) == reader.partitions_for_topic(ACTIVITY) == {0, 1}


def test_a_second_stack_on_the_same_directory_is_refused(stack: EmbeddedStack) -> None:
    with pytest.raises(StateDirInUseError, match=str(os.getpid())), embedded(stack.state_dir):
        pass


def test_after_kill_9_of_both_everything_acknowledged_is_there_at_the_same_addresses(stack: EmbeddedStack) -> None:
    asyncio.run(produce(stack.bootstrap_servers, b"before the crash"))
    with redis.Redis.from_url(stack.redis_url) as client:
        client.set("before", "the crash")
        wait_until(lambda: client.info("persistence")["aof_pending_bio_fsync"] == 0, "the append file is on disk")
    before = dict(stack.pids)
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: stack.pids.keys() == before.keys() and stack.pids != before, "both run again")
    values = asyncio.run(read_until_it_answers(stack.bootstrap_servers))
    assert b"before the crash" in values
    with redis.Redis.from_url(stack.redis_url) as client:
        wait_until(lambda: answers(client), "Redis answers")
        assert client.get("before") == b"the crash"
    assert not set(stack.pids.values()) & set(before.values())


def answers(client: "redis.Redis") -> bool:
    """Return whether Redis has loaded its data."""
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


async def read_until_it_answers(bootstrap_servers: str) -> list[bytes]:
    """Return all values of the first shard, once the broker is back."""
    await asyncio.wait_for(until(lambda: kafka_answers(bootstrap_servers)), 30)
    return await read_all(bootstrap_servers)


async def test_a_stack_opened_again_has_its_data_and_its_addresses(tmp_path: Path) -> None:
    async with embedded(tmp_path, partitions=2) as first:
        addresses = first.bootstrap_servers, first.redis_url
        await produce(first.bootstrap_servers, b"kept")
        pids = list(first.pids.values())
    assert not any(is_alive(pid) for pid in pids)
    async with embedded(tmp_path, partitions=2) as second:
        assert (second.bootstrap_servers, second.redis_url) == addresses
        assert await read_all(second.bootstrap_servers) == [b"kept"]


async def test_configured_servers_are_used_and_checked(stack: EmbeddedStack, tmp_path: Path) -> None:
    ours = Configured(kafka_bootstrap_servers=stack.bootstrap_servers, redis_url=stack.redis_url)
    with LogLines() as log:
        async with Supervisor(log) as supervisor:
            backends = await start_backends(supervisor, tmp_path, 0, ours)
            assert backends[:2] == (stack.bootstrap_servers, stack.redis_url)
            assert supervisor.pids == {}
            nobody = Configured(kafka_bootstrap_servers=stack.bootstrap_servers, redis_url="redis://127.0.0.1:1/0")
            with pytest.raises(ConfigurationError, match="REDIS_URL"):
                await start_backends(supervisor, tmp_path, 0, nobody)
            with redis.Redis.from_url(stack.redis_url) as client:
                client.config_set("maxmemory-policy", "allkeys-lru")
                try:
                    with pytest.raises(ConfigurationError, match="allkeys-lru"):
                        await start_backends(supervisor, tmp_path, 0, ours)
                finally:
                    client.config_set("maxmemory-policy", "noeviction")


class RunningUp:
    """An `up` with stand-ins for the roles, in a process of its own."""

    def __init__(self, folder: Path, roles: Path) -> None:
        self.state_dir = folder / "state"
        self.ready_file = folder / "ready.json"
        self.log = folder / "up.log"
        data = folder / "data"
        data.mkdir(exist_ok=True)
        (data / "events.csv").write_text("whatever it is, it is the same each time")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _UP, str(self.state_dir), str(data), str(self.ready_file)],
                env={**os.environ, "PYTHONPATH": str(roles)},
                stderr=log,
            )

    def ready(self) -> dict[str, Any]:
        """Return what the ready file holds, once it is there."""
        wait_until(lambda: self.ready_file.exists() or self.process.poll() is not None, "the system serves")
        assert self.process.poll() is None, self.log.read_text()
        found: dict[str, Any] = json.loads(self.ready_file.read_text())
        return found

    def pids(self) -> set[int]:
        """Return the process ids of all parts."""
        pids = self.ready()["pids"]
        return {*pids["workers"], *(pids[name] for name in ("kafka", "redis", "trainer", "api"))}


@pytest.fixture
def stand_ins(tmp_path: Path) -> Path:
    """A folder of roles that do nothing."""
    roles = tmp_path / "roles"
    for name, source in _STAND_INS.items():
        path = roles / name
        path.parent.mkdir(parents=True)
        path.write_text(source)
        path.with_name("__init__.py").touch()
    return roles


@contextmanager
def running_up(folder: Path, roles: Path) -> Iterator[RunningUp]:
    """Run `up` and end it, whatever happens."""
    running = RunningUp(folder, roles)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_up_serves_restarts_what_dies_survives_its_own_kill_and_stops_in_time(tmp_path: Path, stand_ins: Path) -> None:
    with running_up(tmp_path, stand_ins) as first:
        ready = first.ready()
        assert json.loads((first.state_dir / "ready.json").read_text()) == ready
        wait_until(lambda: (first.state_dir / "imported.json").exists(), "the data were imported")
        os.kill(ready["pids"]["api"], signal.SIGKILL)
        wait_until(lambda: first.ready()["pids"]["api"] not in (None, ready["pids"]["api"]), "the API runs again")
        assert {**first.ready()["pids"], "api": 0} == {**ready["pids"], "api": 0}
        left = first.pids()
        first.process.kill()
        first.process.wait()
        wait_until(lambda: not any(map(is_alive, left)), "all children are dead", 5)
    with running_up(tmp_path, stand_ins) as second:
        assert second.ready()["kafka"] == ready["kafka"]
        wait_until(lambda: "was imported before" in second.log.read_text(), "the data are known")
        with running_up(tmp_path, stand_ins) as third:
            assert third.process.wait(20) == 1
        assert f"in use by process {second.process.pid}" in third.log.read_text()
        left, started = second.pids(), time.monotonic()
        second.process.send_signal(signal.SIGTERM)
        assert second.process.wait(15) == 0
        assert time.monotonic() - started < 15
        assert not any(map(is_alive, left))
        assert not second.ready_file.exists() and not (second.state_dir / "ready.json").exists()
