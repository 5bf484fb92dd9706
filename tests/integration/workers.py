"""A whole stream: a real Kafka and Redis, real `python -m stream` processes, and how a test waits for them."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.structs import RecordMetadata

from adapters.bundles import BundleStore
from adapters.follow import append_control
from adapters.kafka import end_offsets, open_producer, open_reader, read_range, shard_of
from adapters.redis import Client, connect
from deploy.embedded import EmbeddedStack, embedded
from deploy.this_python import dying_with_us
from schemas.courses import encode_course
from schemas.events import LEARNER_EVENTS, AnyEvent, LearnerEvent, encode_event
from schemas.keys import ShardKeys
from schemas.meta import Meta, Status
from schemas.settings import Connections
from schemas.topics import ACTIVITY, COURSES
from schemas.topics import LEARNER_EVENTS as LEARNER_EVENTS_TOPIC
from stream.view import read_meta
from stream.watchdog import EXIT_STATUS
from tests.api_server import token
from tests.models import COURSES as CATALOGUE
from tests.models import going_live, write_bundle
from tests.reference import Logged
from tests.waiting import PATIENCE_S, until

PARTITIONS: Final = 4
ROOT: Final = Path(__file__).parents[2]
_START_S: Final = 300.0
"""Workers import a lot: on a busy machine that takes minutes."""

_QUICK: Final = dict.fromkeys(("CHECK_INTERVAL_S", "SHARED_INTERVAL_S", "CATALOGUE_INTERVAL_S"), "0.3")


@dataclass
class System:
    """A running stack, and the workers a test starts and ends over it."""

    stack: EmbeddedStack
    folder: Path
    partitions: int = PARTITIONS
    bundle_url: str = ""
    redis_url: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    module: str = "stream"
    """What workers are started from: another one plants bugs in them."""
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    revive: Callable[[str], None] | None = None

    @property
    def bundles(self) -> Path:
        """Folder of the bundles."""
        return self.folder / "bundles"

    @property
    def connections(self) -> Connections:
        """What every process is told."""
        return Connections(
            kafka_bootstrap_servers=self.stack.bootstrap_servers,
            redis_url=self.redis_url or self.stack.redis_url,
            redis_cluster="REDIS_CLUSTER" in self.settings,
            bundle_url=self.bundle_url or str(self.bundles),
            bundle_cache=self.folder / "bundle-cache",
        )

    @property
    def addresses(self) -> dict[str, str]:
        """The connections, as the environment names them."""
        connections = self.connections
        return {
            "KAFKA_BOOTSTRAP_SERVERS": connections.kafka_bootstrap_servers,
            "REDIS_URL": connections.redis_url,
            "BUNDLE_URL": connections.bundle_url,
            "BUNDLE_CACHE": str(connections.bundle_cache),
        }

    def environment(self, worker_id: str) -> dict[str, str]:
        """Return a worker's settings."""
        return {
            **_QUICK,
            **self.addresses,
            "WORKER_ID": worker_id,
            "READY_FILE": str(self.folder / f"{worker_id}.ready"),
            **self.settings,
        }

    def start(self, worker_id: str, program: Sequence[str] = (), house: Path = ROOT, **settings: str) -> None:
        """Start a worker; its log goes on where an earlier one's ended."""
        environment = {**os.environ, **self.environment(worker_id), **settings}
        with (self.folder / f"{worker_id}.log").open("ab") as log:
            self.processes[worker_id] = subprocess.Popen(
                dying_with_us(sys.executable, "-m", *(program or (self.module,))),
                env=environment, cwd=house, stdout=log, stderr=log,
            )  # fmt: skip

    def kill(self, worker_id: str) -> None:
        """End a worker as a crash would."""
        process = self.processes.pop(worker_id)
        process.kill()
        process.wait()

    def stop(self, worker_id: str) -> tuple[int, float]:
        """End a worker by SIGTERM; return its exit status and how many seconds it took."""
        process, began = self.processes.pop(worker_id), time.monotonic()
        process.terminate()
        status = process.wait(PATIENCE_S)
        return status, time.monotonic() - began

    def is_ready(self, worker_id: str) -> bool:
        """Whether the worker that was started last under this id has joined its group."""
        ready = self.folder / f"{worker_id}.ready"
        return ready.exists() and ready.read_text() == f"{self.processes[worker_id].pid}\n"

    def expect_alive(self) -> None:
        """No worker may have ended by itself, but by its watchdog where `revive` says who starts it again."""
        if self.revive:
            for worker_id in [one for one, process in self.processes.items() if process.poll() == EXIT_STATUS]:
                self.revive(worker_id)
        ended = {worker_id: process.returncode for worker_id, process in self.processes.items() if process.poll()}
        assert not ended, f"{ended}:\n{self.log()[-8_000:]}"

    def log(self) -> str:
        """Return what all workers have said."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    async def metas(self, client: Client, generation: int = 0) -> list[Meta | None]:
        """Return the meta of every shard."""
        return [await read_meta(client, ShardKeys(shard, generation)) for shard in range(self.partitions)]

    async def ends(self) -> list[int]:
        """Return the end of each partition of `learner-events`."""
        async with open_reader(self.stack.bootstrap_servers) as reader:
            return list((await end_offsets(reader, LEARNER_EVENTS_TOPIC)).values())

    async def caught_up(self, client: Client, generation: int = 0, patience_s: float = PATIENCE_S) -> None:
        """Wait until every shard is live, has applied all of the log, and no learner's list is behind."""
        ends = await self.ends()

        async def holds() -> bool:
            self.expect_alive()
            metas = await self.metas(client, generation)
            marks = [await client.zcard(ShardKeys(shard, generation).dirty) for shard in range(self.partitions)]
            pairs = zip(metas, ends, strict=True)
            return not any(marks) and all(
                meta is not None and meta.status == Status.LIVE and meta.applied == end - 1 for meta, end in pairs
            )

        await until(holds, f"every shard live at {ends}", patience_s)

    def end_all(self) -> None:
        """End what still runs."""
        for worker_id in list(self.processes):
            self.kill(worker_id)


@contextmanager
def running_system(
    folder: Path,
    workers: Iterable[str],
    bundle_url: str = "",
    redis_url: str = "",
    module: str = "stream",
    **settings: str,
) -> Iterator[System]:
    """Start a stack with a catalogue and a live model, and workers over it; all end with the context.

    `redis_url`: a Redis of the test's own, to be used in place of the stack's. `module`: what workers are started from.
    """
    with _running(folder, workers, settings, bundle_url=bundle_url, redis_url=redis_url, module=module) as running:
        yield running


@contextmanager
def wide_system(folder: Path, workers: Iterable[str], partitions: int, **settings: str) -> Iterator[System]:
    """Start the same over so many shards."""
    with _running(folder, workers, settings, partitions=partitions) as running:
        yield running


@contextmanager
def _running(
    folder: Path, workers: Iterable[str], settings: dict[str, str], partitions: int = PARTITIONS, **fields: Any
) -> Iterator[System]:
    with embedded(folder / "state", partitions=partitions) as stack:
        system = System(stack, folder, partitions, settings=settings, **fields)
        try:
            for worker_id in workers:
                system.start(worker_id)
            asyncio.run(_furnish(system))
            yield system
        finally:
            system.end_all()


async def _furnish(system: System) -> None:
    bundle, manifest = write_bundle(system.folder)
    BundleStore(system.connections.bundle_url, system.connections.bundle_cache).publish(bundle, manifest.version)
    async with open_producer(system.stack.bootstrap_servers) as producer:
        for course in CATALOGUE:
            await producer.send(COURSES, encode_course(course), key=course.course_id.encode())
        await producer.flush()
    await append_control(system.stack.bootstrap_servers, *going_live(manifest))
    async with connected(system) as (client, _):
        await system.caught_up(client, patience_s=_START_S)


@contextmanager
def paused(system: System) -> Iterator[None]:
    """Hold all workers up, as a stopped machine would."""
    workers = list(system.processes.values())
    for worker in workers:
        worker.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGCONT)


@asynccontextmanager
async def connected(system: System) -> AsyncIterator[tuple[Client, AIOKafkaProducer]]:
    """Open a client and a producer."""
    client = connect(system.connections)
    try:
        async with open_producer(system.stack.bootstrap_servers) as producer:
            yield client, producer
    finally:
        await client.aclose()


async def send(producer: AIOKafkaProducer, event: AnyEvent) -> RecordMetadata:
    """Publish an event where it belongs; wait until the log has it."""
    topic = LEARNER_EVENTS_TOPIC if isinstance(event, LEARNER_EVENTS) else ACTIVITY
    sent: RecordMetadata = await producer.send_and_wait(topic, encode_event(event), key=event.user_id.encode())
    return sent


async def publish(producer: AIOKafkaProducer, events: Iterable[LearnerEvent]) -> list[Logged]:
    """Publish events; return them as the log holds them."""
    waiting = [
        (event, await producer.send(LEARNER_EVENTS_TOPIC, encode_event(event), key=event.user_id.encode()))
        for event in events
    ]
    return [Logged(event, (await sent).timestamp) for event, sent in waiting]


async def read_topic(system: System, topic: str) -> list[ConsumerRecord]:
    """Return every record of a topic."""
    records: list[ConsumerRecord] = []
    async with open_reader(system.stack.bootstrap_servers) as reader:
        ends = await end_offsets(reader, topic)
        starts: dict[TopicPartition, int] = await reader.beginning_offsets(list(ends))
        for partition, end in ends.items():
            async for found, _ in read_range(reader, partition, starts[partition], end):
                records += found
    return records


def shard_of_user(user_id: str) -> ShardKeys:
    """Return the keys of a learner's shard in generation 0."""
    return ShardKeys(shard_of(user_id, PARTITIONS), 0)


def take_in(system: System, *events: AnyEvent) -> None:
    """Publish events, and wait until the state holds them."""

    async def work() -> None:
        async with connected(system) as (client, producer):
            for event in events:
                await send(producer, event)
            await system.caught_up(client)

    asyncio.run(work())


def show_commands(monkeypatch: pytest.MonkeyPatch, system: System, api: httpx.Client) -> None:
    """Let commands find a system's log and its API, as an operator."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", system.stack.bootstrap_servers)
    monkeypatch.setenv("COURSESTREAM_API_URL", str(api.base_url))
    monkeypatch.setenv("COURSESTREAM_TOKEN", token("tester", "operator"))
