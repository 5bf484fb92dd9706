"""Replay: the log into a new generation beside the live one, which may then take its place."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition

from adapters.bundles import BundleStore
from adapters.follow import Catalogue, ControlLog, append_control
from adapters.kafka import end_offsets, open_reader, read_range
from adapters.records import event_or_none
from adapters.redis import Client, connect, end_tasks, patiently
from schemas.control import GenerationSwapped, RecordQuarantined
from schemas.errors import ConfigurationError, NotReadyError
from schemas.events import Erased
from schemas.keys import ShardKeys
from schemas.meta import Status
from schemas.settings import Connections
from schemas.topics import LEARNER_EVENTS
from stream.digest import DigestResult, Range, generation_digest, range_as_of
from stream.generation import delete_generation, delete_unfinished
from stream.halves import FREE, PoisonError, by_halves
from stream.lease import replaying
from stream.merge import JOINED, Wanted, merge_span
from stream.quarantine import pass_over, quarantined
from stream.refresh import Refresher
from stream.runs import Span, read_spans
from stream.serving import ServingRoom
from stream.settings import CANDIDATES
from stream.shared_lists import read_counts
from stream.view import ShardView, open_shard

logger: Final = logging.getLogger(__name__)

SHARDS_AT_ONCE: Final = 4
_BATCH: Final = 64

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Called with (records done, records in all)."""


@dataclass(frozen=True)
class RebuildResult:
    """What a replay did.

    `missing`: records that are gone from the start of the log; with any the rebuilt state is not known to be whole.
    `kept`: whether the generation still stands. `left_out`: records that break this code and are not quarantined; a
    swap quarantines them.
    """

    generation: int
    events: int
    seconds: float
    events_per_s: float
    digest: str
    learners: int
    swapped: bool = False
    kept: bool = True
    missing: int = 0
    complete: bool = True
    left_out: int = 0


async def _all(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Await all at once; the first that fails, or being cancelled, ends the others before anything else happens."""
    tasks = [asyncio.create_task(one) for one in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
        return [task.result() for task in tasks]
    finally:
        await end_tasks(tasks)


class Rebuild:
    """One replay: all shards from the start of the log into one new generation."""

    def __init__(
        self, connections: Connections, client: Client, control: ControlLog, replay: str, progress: Progress
    ) -> None:
        self._bootstrap_servers = connections.kafka_bootstrap_servers
        self._connections = connections
        self._client = client
        self._control = control
        self._replay = replay
        self._progress = progress
        self.generation = control.state.generation + 1
        self.views: list[ShardView] = []
        self.broken: list[RecordQuarantined] = []
        self._total = 0
        self.done = 0

    async def _fill(self, partition: TopicPartition, begin: int, end: int, gate: asyncio.Semaphore) -> ShardView:
        keys = ShardKeys(partition.partition, self.generation)
        async with gate, open_reader(self._bootstrap_servers) as reader:
            opening = partial(open_shard, self._client, keys, begin, lost=True, replay=self._replay)
            view, _ = await patiently(opening)
            await self._read_in(reader, view, begin, end)
        return view

    async def _read_in(self, reader: AIOKafkaConsumer, view: ShardView, begin: int, end: int) -> None:
        """Merge what the log holds of a shard from `begin` to before `end`."""
        async for span in read_spans(reader, _partition_of(view), begin, end, JOINED):
            await by_halves(span, Span.halves, partial(self._merge, view), partial(self._leave_out, view))
            self.done += span.last - span.first + 1
            self._progress(self.done, self._total)

    async def _merge(self, view: ShardView, span: Span) -> None:
        state = self._control.state
        _, answer = await merge_span(self._client, view, span, state, Wanted.PENDING_LEFT, unseen=True)
        if answer.status != "OK":
            raise _lost(answer.status)

    async def _leave_out(self, view: ShardView, span: Span, error: PoisonError) -> None:
        """Leave out a record that breaks this code; what is decided of it depends on whether this rebuild goes live."""
        self.broken.append(quarantined(span.records[0], error))
        if len(self.broken) > FREE:
            raise NotReadyError(f"{len(self.broken)} records break this code: {self.broken[0].reason}") from error
        status = await pass_over(self._client, view, span)
        if status not in ("OK", "SEEN"):  # seen: an answer was lost and the call repeated
            raise _lost(status)

    async def fill(self, read: Range) -> None:
        """Fill every shard from where the log begins up to its end."""
        await delete_generation(self._client, self.generation, self._control.state.partitions)
        self._total = sum(end - read.begins[partition] for partition, end in read.ends.items())
        gate = asyncio.Semaphore(SHARDS_AT_ONCE)
        self.views = await _all(
            self._fill(partition, read.begins[partition], end, gate) for partition, end in read.ends.items()
        )

    async def catch_up(self, filled: Range) -> None:
        """Fill every shard on to where the log ends now: who was erased while lists were made is not to come back."""
        async with open_reader(self._bootstrap_servers) as reader:
            ends = await end_offsets(reader, LEARNER_EVENTS)
            self._total += sum(end - filled.ends[partition] for partition, end in ends.items())
            for view in self.views:
                partition = _partition_of(view)
                await self._read_in(reader, view, filled.ends[partition], ends[partition])

    async def build_lists(self) -> None:
        """Compute every learner's list with the live model, so that readers find it at once."""
        state = self._control.state
        async with Catalogue(self._bootstrap_servers) as catalogue:
            store = BundleStore(self._connections.bundle_url, self._connections.bundle_cache)
            room = ServingRoom(store, self._control, catalogue)
            room.take_counts(await read_counts(self._client, self.generation, state.partitions))
            await room.refresh()
            if room.current:
                refresher = Refresher(self._client, CANDIDATES, _BATCH)
                for view in self.views:
                    await refresher.drain(view, room.current)

    async def finish(self, status: Status) -> None:
        """Say in every shard that no replay is at work on it any more: from here on the generation stays."""
        for view in self.views:
            if not await patiently(partial(view.guarded, self._client, status=status, replay="")):
                raise _lost("another state")

    async def swap(self, digest: str) -> None:
        """Make the new generation the live one; its owners take it on from what it has applied."""
        async with ControlLog(self._bootstrap_servers) as control:
            if control.state.generation != self._control.state.generation:
                raise NotReadyError(f"generation {control.state.generation} went live meanwhile: repeat the replay")
        await self.finish(Status.LIVE)
        record = GenerationSwapped(generation=self.generation, digest=digest)
        await append_control(self._bootstrap_servers, *self.broken, record)

    async def build_beside(self, until_ms: int | None) -> RebuildResult:
        """Rebuild up to now or to a moment, and let the generation stand beside the live one."""
        async with open_reader(self._bootstrap_servers) as reader:
            read = await range_as_of(reader, until_ms)
            result = await self._fill_and_digest(read)
            if until_ms is not None and await _erased_since(reader, read.ends, self._control):
                return replace(result, kept=False)
        await self.finish(Status.BUILDING)
        return result

    async def swap_in(self, accept_difference: bool) -> RebuildResult:
        """Rebuild up to where the live generation stands, compare the two, build lists, catch up, swap."""
        state = self._control.state
        only_live = not accept_difference
        live = await generation_digest(self._client, state.generation, state.partitions, only_live)
        async with open_reader(self._bootstrap_servers) as reader:
            read = (await range_as_of(reader, None)).up_to(live.applied)
        result = await self._fill_and_digest(read)
        if live.digest != result.digest and not accept_difference:
            raise _different(live, result)
        await self.build_lists()
        await self.catch_up(read)
        await self.swap(result.digest)
        return replace(result, swapped=True)

    async def _fill_and_digest(self, read: Range) -> RebuildResult:
        if read.missing:
            logger.error("ALARM: the log has lost %d records at its start: the rebuilt state lacks them", read.missing)
        started = time.monotonic()
        await self.fill(read)
        seconds = time.monotonic() - started
        state = await generation_digest(self._client, self.generation, self._control.state.partitions)
        rate = self.done / max(seconds, 1e-9)
        return RebuildResult(
            self.generation, self.done, seconds, rate, state.digest, state.learners,
            missing=read.missing, complete=not read.missing, left_out=len(self.broken),
        )  # fmt: skip

    async def delete_unfinished(self) -> None:
        """Delete what this replay has not finished: it failed, was told to end, or must not be kept."""
        partitions = range(self._control.state.partitions)
        await delete_unfinished(self._client, self.generation, partitions, self._replay)


def _partition_of(view: ShardView) -> TopicPartition:
    return TopicPartition(LEARNER_EVENTS, view.keys.shard)


def _lost(found: str) -> NotReadyError:
    return NotReadyError(
        f"the generation that was being rebuilt is gone or damaged ({found}): Redis was emptied or written to by "
        "others, or this replay stood still for so long that another one began; repeat it"
    )


def _different(live: DigestResult, rebuilt: RebuildResult) -> NotReadyError:
    why = f" (the log lacks {rebuilt.missing} records at its start)" if rebuilt.missing else ""
    return NotReadyError(
        f"the rebuilt state has digest {rebuilt.digest[:12]}, the live one {live.digest[:12]} at equal offsets{why}; "
        "look into it, then repeat with --accept-difference to swap all the same"
    )


async def _erased_since(reader: AIOKafkaConsumer, ends: dict[TopicPartition, int], control: ControlLog) -> bool:
    """Whether a learner was erased after these ends, so that a state up to them holds what must be gone."""
    for partition, now in (await end_offsets(reader, LEARNER_EVENTS)).items():
        async for records, _ in read_range(reader, partition, ends[partition], now, 5_000):
            events = (event_or_none(one, control.state.partitions, control.state.quarantined) for one in records)
            if any(isinstance(event, Erased) for event in events):
                return True
    return False


async def rebuild(
    connections: Connections,
    *,
    until_ms: int | None = None,
    swap: bool = False,
    accept_difference: bool = False,
    progress: Progress = lambda _done, _total: None,
) -> RebuildResult:
    """Rebuild the state into a new generation; with `swap`, build lists, compare it with the live one, put it live.

    A replay that fails, or is cancelled, leaves nothing behind; one that is killed is cleaned up after by the workers,
    or by the next replay. NotReadyError while another replay is at work.
    """
    if swap and until_ms is not None:
        raise ConfigurationError("--until gives a state of the past, which can't be swapped in: leave out --swap")
    async with AsyncExitStack() as stack:
        client = connect(connections)
        stack.push_async_callback(client.aclose)
        replay = await stack.enter_async_context(replaying(client))
        control = await stack.enter_async_context(ControlLog(connections.kafka_bootstrap_servers))
        job = Rebuild(connections, client, control, replay, progress)
        stack.push_async_callback(job.delete_unfinished)
        return await (job.swap_in(accept_difference) if swap else job.build_beside(until_ms))
