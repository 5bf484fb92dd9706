"""A worker: everything beside the agents, wired together and followed as long as the worker lives."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Final, Self

from adapters.bundles import BundleStore
from adapters.experiments import ExperimentCounts
from adapters.follow import Catalogue, ControlLog
from adapters.kafka import open_producer, open_reader
from adapters.records import Record
from adapters.redis import Server, check_eviction, connect, end_tasks, patiently
from adapters.topics import check_partitions
from schemas.control import encode_control
from schemas.experiments import ArmModelRefused
from schemas.meta import Status
from schemas.topics import ACTIVITY, CONTROL, LEARNER_EVENTS
from stream import metrics, watchdog
from stream.activity import take_activity
from stream.dead_letters import PRODUCER, keep
from stream.delivery import Delivery
from stream.generation import delete_unfinished, retire_older
from stream.group import open_group
from stream.health import Health, Parts
from stream.merge import MergeAnswer, Run
from stream.quality import Quality
from stream.refresh import Refresher
from stream.serving import ServingRoom
from stream.settings import StreamSettings
from stream.shards import Flow, Phase, Shard, ShardOwner
from stream.shared_lists import SharedLists
from stream.trials import Trials

REBUILT_AT_ONCE: Final = 2
"""Shards whose first lists are computed together: one is read and written while the other is computed."""

logger: Final = logging.getLogger(__name__)


class Worker:
    """Owns what the agents hand their batches to. Entering it connects and reads `control` and `courses` to the end."""

    def __init__(self, settings: StreamSettings, flow: Flow, fail: Callable[[BaseException], None]) -> None:
        self._settings = settings
        self._flow = flow
        self._fail = fail
        self._client = connect(settings)
        bootstrap = settings.kafka_bootstrap_servers
        self.control = ControlLog(bootstrap)
        self._catalogue = Catalogue(bootstrap)
        store = BundleStore(settings.bundle_url, settings.bundle_cache)
        self._room = ServingRoom(store, self.control, self._catalogue, self._refuse)
        self._counts = ExperimentCounts(self._client, self.control)
        self._trials = Trials(self.control, self._counts)
        self._quality = Quality(self._client, self._room, self._trials)
        self._refresher = Refresher(self._client, settings.candidates, settings.refresh_batch)
        self._refresher.observe_freshness = metrics.FRESHNESS.observe
        self._stack = AsyncExitStack()
        self._tasks: set[asyncio.Task[None]] = set()
        self._owner: ShardOwner
        self._generation = 0
        self._deliveries = {topic: Delivery(settings.stall_s / 6) for topic in (LEARNER_EVENTS, ACTIVITY)}

    async def __aenter__(self) -> Self:
        """Connect, refuse what can't be served, and start everything that follows."""
        settings, stack = self._settings, self._stack
        partitions = await check_partitions(settings.kafka_bootstrap_servers)
        await patiently(lambda: check_eviction(self._client))
        await stack.enter_async_context(self.control)
        await stack.enter_async_context(self._catalogue)
        self._producer = await stack.enter_async_context(open_producer(settings.kafka_bootstrap_servers, **PRODUCER))
        reader = await stack.enter_async_context(open_reader(settings.kafka_bootstrap_servers))
        self._generation = self.control.state.generation
        self._owner = ShardOwner(
            self._client,
            self.control,
            self._producer,
            settings.kafka_bootstrap_servers,
            self._flow,
            self._merged,
            self._quality.wants_more,
        )
        self._shared = SharedLists(self._client, self.control, self._catalogue, self._room)
        await self._room.refresh()
        pulse = watchdog.Pulse()
        watchdog.start(pulse, settings.stall_s, settings.ready_file)
        group = await stack.enter_async_context(open_group(settings.kafka_bootstrap_servers, settings.worker_id))
        followers = (self.control, self._catalogue)
        parts = Parts(
            self._owner, self._refresher, self._room, followers, group, self._deliveries, partitions, self._flow.rejoin
        )
        health = Health(self._client, reader, parts, pulse)
        if isinstance(self._client, Server):
            self._start("redis", self._client.pipeline_commands)
        self._start("control", self.control.run)
        self._start("courses", self._catalogue.run)
        self._start("serving", lambda: self._room.run(settings.catalogue_interval_s, self._refresher.wake))
        self._start("refresh", lambda: self._refresher.run(self._shards_to_refresh, self._room))
        self._start("heart", health.beat)
        self._start("health", lambda: health.run(settings.check_interval_s))
        self._start("shared", self._share)
        self._start("quality", self._quality.run)
        self._start("experiments", self._counts.run)
        self._start("unfinished", lambda: self._delete_unfinished(settings.check_interval_s * 5))
        self.control.on_change(self._follow_generation)
        return self

    async def __aexit__(self, *_: object) -> None:
        fillings = [shard.filling for shard in self._owner.shards.values() if shard.filling]
        self._owner.release()
        await end_tasks([*self._tasks, *fillings])
        await self._stack.aclose()
        await self._client.aclose()

    def _start(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        async def guarded() -> None:
            try:
                await run()
            except Exception as error:  # a part that dies would leave a worker that looks alive
                logger.exception("%s failed", name)
                self._fail(error)

        task = asyncio.create_task(guarded(), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def assign(self, partitions: Sequence[int]) -> None:
        """Own the shards of these partitions, and retire what another generation has replaced there."""
        founded = self.control.state.partitions
        if foreign := [partition for partition in partitions if partition >= founded]:
            logger.error("ALARM: partitions %s are new; the state was founded with %d: left alone", foreign, founded)
        partitions = [partition for partition in partitions if partition < founded]
        self._owner.assign(partitions)
        live = self._generation
        if live > 0:
            self._start("retire", lambda: retire_older(self._client, live, partitions))

    def release(self) -> None:
        """Own nothing, as while partitions are reassigned."""
        self._owner.release()

    async def take(self, records: Sequence[Record]) -> None:
        """Merge a batch of `learner-events`."""
        self._deliveries[LEARNER_EVENTS].took()
        await self._owner.take(records)

    async def take_activity(self, records: Sequence[Record]) -> None:
        """Join a batch of `activity`."""
        self._deliveries[ACTIVITY].took()
        views = {shard.partition: shard.view for shard in self._owner.open_shards()}
        quarantine = self._owner.quarantine
        await take_activity(
            self._client, self._producer, self.control.state, views, records, quarantine, self._trials.take_clicks
        )
        self._refresher.wake()

    def _shards_to_refresh(self) -> list[Shard]:
        """Without a model there is nothing to compute: then all of them just go live."""
        return self._owner.shards_to_refresh(REBUILT_AT_ONCE if self._room.current else len(self._owner.shards))

    def _merged(self, shard: Shard, run: Run, answer: MergeAnswer) -> None:
        metrics.MERGED.inc(run.num_records)
        metrics.DEAD.inc(len(run.dead))
        if shard.phase != Phase.FILLING:
            self._refresher.wake()
        if shard.meta.status == Status.LIVE:  # before, readers are not shown its lists
            self._quality.take(shard.partition, answer.first_enrolments, run.updates)
        self._trials.forget(run.updates)

    def _follow_generation(self) -> None:
        """Open the owned shards anew when another generation went live; the old one is retired."""
        if self._generation != self.control.state.generation:
            self._generation = self.control.state.generation
            self.assign(list(self._owner.shards))

    async def _refuse(self, decision: ArmModelRefused) -> None:
        await keep(self._producer, CONTROL, encode_control(decision))

    async def _delete_unfinished(self, interval_s: float) -> None:
        """Clean up after replays that were killed, for ever."""
        while True:
            await asyncio.sleep(interval_s)
            await delete_unfinished(self._client, self._generation + 1, list(self._owner.shards))

    async def _share(self) -> None:
        while True:
            await self._shared.update(is_writer=0 in self._owner.shards)
            metrics.MODEL_EPOCH.set(self._room.current.model_epoch if self._room.current else -1)
            metrics.MODEL_FAILURES.set(self._room.load_failures)
            metrics.MODEL_BEHIND.set(self._room.is_behind)
            metrics.ARM_MODELS_MISSING.set(self._room.num_missing)
            await self._shared.pause(self._settings.shared_interval_s)
