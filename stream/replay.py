"""Replay: the log into a new generation beside the live one, which may then take its place."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final

from aiokafka import TopicPartition

from adapters.bundles import BundleStore
from adapters.follow import Catalogue, ControlLog, append_control
from adapters.kafka import open_reader
from adapters.redis import Client, connect
from schemas.control import GenerationSwapped, RecordQuarantined
from schemas.errors import ConfigurationError, NotReadyError
from schemas.keys import ShardKeys
from schemas.meta import Status
from schemas.settings import Connections
from schemas.topics import LEARNER_EVENTS
from stream.digest import DigestResult, ends_as_of, generation_digest
from stream.generation import delete_generation
from stream.halves import FREE, PoisonError, by_halves
from stream.merge import merge_span
from stream.quarantine import pass_over, quarantined
from stream.refresh import Refresher
from stream.runs import Span, read_spans
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
    left_out: int
    """Records that break this code and are not quarantined; a swap quarantines them."""


class Rebuild:
    """One replay: all shards from the start of the log into one new generation."""

    def __init__(self, connections: Connections, client: Client, control: ControlLog, progress: Progress) -> None:
        self._connections = connections
        self._client = client
        self._control = control
        self._progress = progress
        self.generation = control.state.generation + 1
        self.views: list[ShardView] = []
        self.broken: list[RecordQuarantined] = []
        self._total = 0
        self.done = 0

    async def _fill(self, partition: TopicPartition, begin: int, end: int, gate: asyncio.Semaphore) -> ShardView:
        keys = ShardKeys(partition.partition, self.generation)
        async with gate, open_reader(self._connections.kafka_bootstrap_servers) as reader:
            view, _ = await open_shard(self._client, keys, begin)
            async for span in read_spans(reader, partition, begin, end):
                await by_halves(span, Span.halves, partial(self._merge, view), partial(self._leave_out, view))
                self.done += span.last - span.first + 1
                self._progress(self.done, self._total)
        return view

    async def _merge(self, view: ShardView, span: Span) -> None:
        _, answer = await merge_span(self._client, view, span, self._control.state)
        _expect_ok(view, answer.status)

    async def _leave_out(self, view: ShardView, span: Span, error: PoisonError) -> None:
        """Leave out a record that breaks this code; what is decided of it depends on whether this rebuild goes live."""
        self.broken.append(quarantined(span.records[0], error))
        if len(self.broken) > FREE:
            raise NotReadyError(f"{len(self.broken)} records break this code: {self.broken[0].reason}") from error
        _expect_ok(view, await pass_over(self._client, view, span))

    async def fill(self, ends: dict[TopicPartition, int]) -> None:
        """Fill every shard up to its end."""
        await delete_generation(self._client, self.generation, self._control.state.partitions)
        async with open_reader(self._connections.kafka_bootstrap_servers) as reader:
            begins = await reader.beginning_offsets(list(ends))
        self._total = sum(end - begins[partition] for partition, end in ends.items())
        gate = asyncio.Semaphore(SHARDS_AT_ONCE)
        filled = (self._fill(partition, begins[partition], end, gate) for partition, end in ends.items())
        self.views = list(await asyncio.gather(*filled))

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
        await append_control(self._connections.kafka_bootstrap_servers, *self.broken, record)


def _expect_ok(view: ShardView, status: str) -> None:
    if status != "OK":
        raise NotReadyError(f"shard {view.keys.shard} answered {status}: is another replay running?")


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
    """Rebuild the state into a new generation; with `swap`, build lists, compare it with the live one, put it live."""
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
        if live:
            _compare(live, rebuilt, accept_difference)
            await job.build_lists()
            await job.swap(rebuilt.digest)
        rate = job.done / max(seconds, 1e-9)
        return RebuildResult(
            job.generation, job.done, seconds, rate, rebuilt.digest, rebuilt.learners, swap, len(job.broken)
        )
