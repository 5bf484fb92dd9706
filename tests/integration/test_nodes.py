"""Three brokers, a Redis Cluster of three nodes and two APIs, as `make cluster` starts them; nodes are killed."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from adapters.kafka import open_producer
from adapters.redis import connect, end_tasks
from schemas.events import Enrolled, encode_event
from schemas.keys import ShardKeys
from schemas.settings import Connections
from schemas.topics import LEARNER_EVENTS, TOPICS
from tests.integration.test_end_to_end import System, until
from tests.shard_state import read_learners

pytestmark = pytest.mark.timeout(1_800)

PARTITIONS = 16
Taken = set[tuple[str, str]]
"""(user_id, course_id) of the enrolments that were acknowledged."""


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Run it; nothing is trained."""
    folder = tmp_path_factory.mktemp("nodes")
    options = ("--port", "0", "--nodes", "3", "--workers", "2", "--apis", "2")
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.app", "up", "--state-dir", str(folder / "state"), *options],
            stdout=log, stderr=log, env={**os.environ, "MIN_ENROLMENTS": "1000000"},
        )  # fmt: skip
    running = System(folder / "state", process)
    try:
        until((folder / "state" / "ready.json").exists, 600)
        token = running.cli("token", "--subject", "tests", "--scope", "publisher reader").strip()
        running.headers = {"Authorization": f"Bearer {token}"}
        yield running
    finally:
        running.end()


_numbers = itertools.count()


def _enrolled(source: str) -> Enrolled:
    number = next(_numbers)
    return Enrolled(
        event_id=f"{source}{number}", user_id=f"{source}{number % 300}", course_id=f"c{number // 300}",
        occurred_at=1_700_000_000 + number,
    )  # fmt: skip


async def _produce(system: System, taken: Taken) -> None:
    """Publish to Kafka, 400 events a second; what fails was not acknowledged."""
    async with open_producer(system.ready["kafka"]) as producer:
        while True:
            events = [_enrolled("k") for _ in range(20)]
            sent = [await producer.send(LEARNER_EVENTS, encode_event(one), key=one.user_id.encode()) for one in events]
            answers = await asyncio.gather(*sent, return_exceptions=True)
            assert all(isinstance(one, KafkaError) for one in answers if isinstance(one, BaseException)), answers
            pairs = zip(events, answers, strict=True)
            taken.update((one.user_id, one.course_id) for one, met in pairs if not isinstance(met, BaseException))
            await asyncio.sleep(0.05)


async def _post(system: System, url: str, taken: Taken) -> None:
    """Publish over HTTP, by one of the APIs; 503 is no acknowledgement."""
    async with httpx.AsyncClient(base_url=url, headers=system.headers, timeout=60) as client:
        while True:
            one = _enrolled(f"h{url[-5:]}-")
            body = {"type": "enrolled", "event_id": one.event_id, "user_id": one.user_id, "course_id": one.course_id}
            answer = await client.post("/v1/events", json=body)
            assert answer.status_code in (202, 503), answer.text
            if answer.status_code == 202:
                taken.add((one.user_id, one.course_id))
            await asyncio.sleep(0.02)


@asynccontextmanager
async def _loaded(system: System) -> AsyncIterator[Taken]:
    """Publish for as long as the context lasts."""
    taken: Taken = set()
    urls = system.ready["api_urls"]
    tasks = [
        asyncio.create_task(_produce(system, taken)),
        *(asyncio.create_task(_post(system, url, taken)) for url in urls),
    ]
    try:
        yield taken
        assert not [task.exception() for task in tasks if task.done()]
    finally:
        await end_tasks(tasks)


async def _grows(taken: Taken, by: int) -> None:
    """Wait until so many more events were acknowledged."""
    wanted = len(taken) + by
    async with asyncio.timeout(300):
        while len(taken) < wanted:  # noqa: ASYNC110 - other tasks decide it
            await asyncio.sleep(0.1)


async def _copies(system: System) -> list[tuple[int, int]]:
    """Return, of every partition of our topics, how many copies there are and how many are in sync."""
    admin = AIOKafkaAdminClient(bootstrap_servers=system.ready["kafka"])
    await admin.start()
    try:
        found: Any = await admin.describe_topics([topic.name for topic in TOPICS])
        return [(len(one["replicas"]), len(one["isr"])) for topic in found for one in topic["partitions"]]
    finally:
        await admin.close()


async def _until_in_sync(system: System) -> None:
    """Wait until each partition has its three copies."""
    async with asyncio.timeout(300):
        while {*await _copies(system)} != {(3, 3)}:  # noqa: ASYNC110 - the brokers decide it
            await asyncio.sleep(0.5)


async def _expect_whole(system: System, taken: Taken) -> None:
    """Everything acknowledged must be in the state, and the state must be that of a replay."""
    await asyncio.to_thread(until, lambda: system.ask("lag")["lag"] == 0, 300)
    client = connect(Connections(redis_url=system.ready["redis_url"], redis_cluster=True))
    try:
        held: Taken = set()
        for shard in range(PARTITIONS):
            states = await read_learners(client, ShardKeys(shard, 0))
            held |= {(user_id, course_id) for user_id, state in states.items() for course_id in state.courses}
    finally:
        await client.aclose()
    assert taken and not taken - held
    live = await asyncio.to_thread(system.ask, "state", "digest")
    assert (await asyncio.to_thread(system.ask, "replay"))["digest"] == live["digest"]


async def _kill(system: System, name: str) -> None:
    """Kill a node as a crash would; wait until it was started again."""
    victim = system.ready["pids"][name]
    os.kill(victim, signal.SIGKILL)
    await asyncio.to_thread(until, lambda: system.ready["pids"].get(name) not in (None, victim), 120)


async def test_brokers_that_are_killed_under_load_lose_nothing(system: System) -> None:
    await _until_in_sync(system)
    async with _loaded(system) as taken:
        for name in ("kafka-1", "kafka-3"):
            await _grows(taken, 500)
            await _kill(system, name)
            await _grows(taken, 500)
            await _until_in_sync(system)
    await _expect_whole(system, taken)


async def test_a_redis_node_that_is_killed_under_load_loses_nothing(system: System) -> None:
    assert system.ready["redis_cluster"]
    async with _loaded(system) as taken:
        for name in ("redis-2", "redis-1"):
            await _grows(taken, 500)
            await _kill(system, name)
            await _grows(taken, 500)
    await _expect_whole(system, taken)


def test_each_process_of_the_api_answers_as_the_other(system: System) -> None:
    urls = system.ready["api_urls"]
    assert len({*urls}) == 2 and urls[0] == system.ready["api_url"]

    def answers() -> list[Any]:
        got = [httpx.get(f"{url}/v1/learners/k1", headers=system.headers, timeout=20) for url in urls]
        assert all(answer.status_code == 200 for answer in got)
        return [answer.json() for answer in got]

    until(lambda: not any(answer["degraded"] for answer in answers()), 60)
    one, other = (answer["courses"] for answer in answers())
    assert one and one == other


def test_another_number_of_nodes_is_refused(system: System, tmp_path: Path) -> None:
    (tmp_path / "nodes").write_text((system.state_dir / "nodes").read_text())
    done = subprocess.run(
        [sys.executable, "-m", "cli.app", "up", "--state-dir", str(tmp_path), "--port", "0"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1 and "founded with 3 nodes" in done.stderr and "--nodes 3" in done.stderr
