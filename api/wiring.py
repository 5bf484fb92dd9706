"""What the routes of one application use, made from its settings when it starts."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from aiokafka.errors import KafkaError
from fastapi import Request
from redis.asyncio import Redis
from redis.exceptions import RedisError

from adapters.experiments import ExperimentCounts
from adapters.follow import ControlLog
from adapters.pipelined import PipelinedConnection
from adapters.redis import Client, Server, connect, end_tasks
from api.answers import Recommendations
from api.auth import Verifier
from api.changes import Changes
from api.event_log import EventLog
from api.fallback import read_fallback
from api.grades import GradedLists
from api.lists import Lists, Query
from api.log_ends import LogEnds
from api.logs import hashed
from api.lookup import Learners, Lookup
from api.metrics import Metrics
from api.publishing import Publisher
from api.quotas import Quotas
from api.search import TitleSearch
from api.settings import ApiSettings
from api.shard_watch import ShardWatch
from api.shared import SharedCache
from api.trust import Trust
from schemas.topics import Position

logger: Final = logging.getLogger(__name__)

_LONGEST_PAUSE_S: Final = 5.0


@dataclass
class Services:
    """The parts of a running API."""

    settings: ApiSettings
    client: Client
    control: ControlLog
    ends: LogEnds
    watch: ShardWatch
    shared: SharedCache
    titles: TitleSearch
    changes: Changes
    learners: Learners
    lists: Lists
    grades: GradedLists
    publisher: Publisher
    verifier: Verifier
    quotas: Quotas
    metrics: Metrics
    counts: ExperimentCounts
    lane: PipelinedConnection | None = None
    tasks: dict[str, "asyncio.Task[None]"] = field(default_factory=dict)

    async def find(self, user_id: str, positions: Sequence[Position], wait_s: float) -> Lookup | None:
        """Return what stands about a learner, once it covers the positions; None while Redis is away."""
        try:
            return await self.learners.look_up_after(user_id, positions, wait_s)
        except (RedisError, TimeoutError) as error:
            logger.warning("looking learner %s up failed: %r", hashed(user_id), error)
            return None

    def count_list(self, answer: Recommendations) -> None:
        """Count a list that goes out, and that it was given in an experiment: a degraded one was not."""
        self.metrics.count_answer(answer.degraded)
        experiment = self.control.state.experiment
        if experiment and answer.experiment == experiment.record.name and not answer.degraded:
            self.counts.add(experiment, answer.user_id, lists=1)

    async def recommendations(self, user_id: str, found: Lookup | None, query: Query) -> Recommendations:
        """Return a learner's list, by whichever strategy is asked for."""
        lists = self.grades if query.strategy == "grades" else self.lists
        return await lists.recommendations(user_id, found, query)

    def missing(self) -> list[str]:
        """Return what the API lacks to do its work."""
        lacks = {name: task.done() for name, task in self.tasks.items()}
        lacks["kafka"] = not self.ends.is_fresh
        lacks["redis"] = self.watch.is_away
        return [name for name, is_missing in lacks.items() if is_missing]

    def measure_shards(self) -> None:
        """Bring the metrics of the shards up to date."""
        self.metrics.set_lags({shard: self.ends.lag(shard, offset) for shard, offset in self.watch.applied.items()})
        self.metrics.degraded_shards.set(len(self.watch.degraded_shards))


def services_of(request: Request) -> Services:
    """Return the parts of the application that serves a request."""
    services: Services = request.app.state.services
    return services


async def _reach_kafka(stack: AsyncExitStack, settings: ApiSettings) -> tuple[ControlLog, LogEnds, EventLog]:
    """Connect to Kafka, however long it takes to be there: without it nothing can be decided or promised."""
    servers, pause_s = settings.kafka_bootstrap_servers, 0.2
    while True:
        async with AsyncExitStack() as attempt:
            try:
                control = await attempt.enter_async_context(ControlLog(servers))
                ends = await attempt.enter_async_context(LogEnds(servers, control, settings.shared_poll_s))
                log = await attempt.enter_async_context(EventLog(servers, settings.ingest_timeout_s))
            except (KafkaError, TimeoutError) as error:
                logger.warning("Kafka at %s does not answer yet: %r", servers, error)
            else:
                await stack.enter_async_context(attempt.pop_all())
                return control, ends, log
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


def _said(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.critical("%s ended: the API is no longer ready", task.get_name(), exc_info=error)


@asynccontextmanager
async def _running(**work: Coroutine[Any, Any, None]) -> AsyncIterator[dict[str, "asyncio.Task[None]"]]:
    """Run background work by name, and end it."""
    tasks = {name: asyncio.create_task(one, name=name) for name, one in work.items()}
    for task in tasks.values():
        task.add_done_callback(_said)
    try:
        yield tasks
    finally:
        await end_tasks(tasks.values())


def lane_of(settings: ApiSettings, client: Client) -> PipelinedConnection | None:
    """Return the fast lane's connection, which is still to be made; None if it is off."""
    if not settings.fast_lane or not isinstance(client, Redis):
        return None
    return PipelinedConnection(client, settings.read_timeout_s)


@asynccontextmanager
async def open_services(settings: ApiSettings, metrics: Metrics) -> AsyncIterator[Services]:
    """Connect to everything and follow what changes. Waits for Kafka; Redis may come later."""
    async with AsyncExitStack() as stack:
        control, ends, log = await _reach_kafka(stack, settings)
        client = connect(settings)
        stack.push_async_callback(client.aclose)
        find_fallback = partial(read_fallback, settings.kafka_bootstrap_servers)
        shared = SharedCache(client, settings.shared_poll_s, settings.read_timeout_s, find_fallback)
        changes = Changes(client, settings.max_streams)
        watch = ShardWatch(
            client, control, Trust(ends), settings.shared_poll_s, settings.read_timeout_s, changes.wake_all
        )
        writer = connect(settings)
        stack.push_async_callback(writer.aclose)
        services = Services(
            settings=settings,
            client=client,
            control=control,
            ends=ends,
            shared=shared,
            titles=TitleSearch(client, settings.read_timeout_s),
            watch=watch,
            changes=changes,
            learners=Learners(client, control, watch, settings.read_timeout_s),
            lists=Lists(shared, control, ends),
            grades=GradedLists(client, shared, control, ends, settings.read_timeout_s),
            publisher=Publisher(log, writer, control, settings.ingest_timeout_s),
            verifier=Verifier(settings),
            quotas=Quotas(settings),
            metrics=metrics,
            counts=ExperimentCounts(client, control),
            lane=lane_of(settings, client),
        )
        await services.learners.prepare()
        work = {
            "control": control.run(),
            "log-ends": ends.run(),
            "shared-lists": shared.run(),
            "changes": changes.run(),
            "shards": watch.run(),
            "experiments": services.counts.run(),
        }
        if services.lane:
            work["fast-lane"] = services.lane.run()
        if settings.fast_lane and isinstance(writer, Server):
            work["write-lane"] = writer.pipeline_commands()
        services.tasks = await stack.enter_async_context(_running(**work))
        yield services
