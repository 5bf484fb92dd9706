"""Replay: the log into a new generation beside the live one, which may then take its place."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from aiokafka import TopicPartition

from adapters.bundles import BundleStore
from adapters.follow import Catalogue, ControlLog, append_control
from adapters.kafka import open_reader
from adapters.redis import Client, connect
from schemas.control import GenerationSwapped
from schemas.errors import ConfigurationError, NotReadyError
from schemas.keys import ShardKeys
from schemas.meta import Status
from schemas.settings import Connections
from schemas.topics import LEARNER_EVENTS
from stream.digest import DigestResult, ends_as_of, generation_digest
from stream.erasure import erase_since
from stream.generation import delete_generation
from stream.merge import merge_run
from stream.refresh import Refresher
from stream.runs import read_runs
from stream.serving import ServingRoom
from stream.settings import CANDIDATES
from stream.shared_lists import read_counts
from stream.view import ShardView, open_shard

SHARDS_AT_ONCE: Final = 4
_BATCH: Final = 64

Progress = Callable[[int, int], None]
"""Called with (records done, records in all)."""


@dataclass(frozen=True)
class RebuildResult:
    """What a replay did."""

    generation: int
    events: int
    seconds: float
    events_per_s: float
    digest: str
    learners: int
    swapped: bool


class Rebuild:
    """One replay: all shards from the start of the log into one new generation."""

    def __init__(self, connections: Connections, client: Client, control: ControlLog, progress: Progress) -> None:
        self._connections = connections
        self._client = client
        self._control = control
        self._progress = progress
        self.generation = control.state.generation + 1
        self.views: list[ShardView] = []
        self._total = 0
        self.done = 0

    async def _fill(self, partition: TopicPartition, begin: int, end: int, gate: asyncio.Semaphore) -> ShardView:
        keys = ShardKeys(partition.partition, self.generation)
        async with gate, open_reader(self._connections.kafka_bootstrap_servers) as reader:
            view, _ = await open_shard(self._client, keys, begin)
            async for run in read_runs(reader, partition, begin, end, self._control):
                answer = await merge_run(self._client, view, run)
                if answer.status != "OK":
                    raise NotReadyError(f"shard {keys.shard} answered {answer.status}: is another replay running?")
                self.done += run.last - run.first + 1
                self._progress(self.done, self._total)
        return view

    async def fill(self, ends: dict[TopicPartition, int]) -> None:
        """Fill every shard up to its end."""
        await delete_generation(self._client, self.generation, self._control.state.partitions)
        async with open_reader(self._connections.kafka_bootstrap_servers) as reader:
            begins = await reader.beginning_offsets(list(ends))
        self._total = sum(end - begins[partition] for partition, end in ends.items())
        gate = asyncio.Semaphore(SHARDS_AT_ONCE)
        filled = (self._fill(partition, begins[partition], end, gate) for partition, end in ends.items())
        self.views = list(await asyncio.gather(*filled))

    async def erase_since(self, ends: dict[TopicPartition, int]) -> None:
        """Take out of a state of the past who was erased since."""
        async with open_reader(self._connections.kafka_bootstrap_servers) as reader:
            now = await ends_as_of(reader, None)
            for view in self.views:
                partition = TopicPartition(LEARNER_EVENTS, view.keys.shard)
                await erase_since(self._client, reader, self._control, view, ends[partition], now[partition])

    async def build_lists(self) -> None:
        """Compute every learner's list with the live model, so that readers find it at once."""
        bootstrap, state = self._connections.kafka_bootstrap_servers, self._control.state
        async with Catalogue(bootstrap) as catalogue:
            store = BundleStore(self._connections.bundle_url, self._connections.bundle_cache)
            room = ServingRoom(store, self._control, catalogue)
            room.take_counts(await read_counts(self._client, self.generation, state.partitions))
            await room.refresh()
            if room.current:
                refresher = Refresher(self._client, CANDIDATES, _BATCH)
                for view in self.views:
                    await refresher.drain(view, room.current)

    async def swap(self, digest: str) -> None:
        """Make the new generation the live one; its owners take it on from what it has applied."""
        for view in self.views:
            await view.set_status(self._client, Status.LIVE)
        record = GenerationSwapped(generation=self.generation, digest=digest)
        await append_control(self._connections.kafka_bootstrap_servers, record)


def _compare(live: DigestResult, rebuilt: DigestResult, accept_difference: bool) -> None:
    if live.digest != rebuilt.digest and not accept_difference:
        raise NotReadyError(
            f"the rebuilt state has digest {rebuilt.digest[:12]}, the live one {live.digest[:12]} at the same offsets; "
            "look into it, then repeat with --accept-difference to swap all the same"
        )


async def rebuild(
    connections: Connections,
    *,
    until_ms: int | None = None,
    swap: bool = False,
    accept_difference: bool = False,
    progress: Progress = lambda _done, _total: None,
) -> RebuildResult:
    """Rebuild the state into a new generation; with `swap`, build lists, compare it with the live one, put it live.

    The digest of a state of the past is what it was then; what stays in Redis lacks who was erased since.
    """
    if swap and until_ms is not None:
        raise ConfigurationError("--until gives a state of the past, which can't be swapped in: leave out --swap")
    async with AsyncExitStack() as stack:
        control = await stack.enter_async_context(ControlLog(connections.kafka_bootstrap_servers))
        client = connect(connections)
        stack.push_async_callback(client.aclose)
        state = control.state
        live = await generation_digest(client, state.generation, state.partitions) if swap else None
        started = time.monotonic()
        async with open_reader(connections.kafka_bootstrap_servers) as reader:
            ends = await ends_as_of(reader, until_ms)
        if live:
            ends = {TopicPartition(LEARNER_EVENTS, shard): offset + 1 for shard, offset in enumerate(live.applied)}
        job = Rebuild(connections, client, control, progress)
        await job.fill(ends)
        seconds = time.monotonic() - started
        rebuilt = await generation_digest(client, job.generation, state.partitions)
        if until_ms is not None:
            await job.erase_since(ends)
        if live:
            _compare(live, rebuilt, accept_difference)
            await job.build_lists()
            await job.swap(rebuilt.digest)
        rate = job.done / max(seconds, 1e-9)
        return RebuildResult(job.generation, job.done, seconds, rate, rebuilt.digest, rebuilt.learners, swap)
