"""The Faust application: two agents that take a batch, hand it on, and ack. What they hand it to is the worker.

Why these settings: each prevents a loss or a stall that was reproduced (ARCHITECTURE.md, "Faust, kept thin").
"""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import faust
from faust.types import TP

from adapters.records import Record
from schemas.errors import CoursestreamError
from schemas.topics import ACTIVITY, LEARNER_EVENTS, STREAM_GROUP
from stream.drain import at_once, by_faust
from stream.faust_driver import FaustFlow, leave_when_stopped, patch_driver
from stream.settings import StreamSettings
from stream.watchdog import EXIT_STATUS
from stream.worker import Worker

logger: Final = logging.getLogger(__name__)


class StreamRecord(NamedTuple):
    """A record as `adapters.records` reads it, from Faust's message."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


def record_of(event: Any) -> StreamRecord:
    """Return the raw record behind a Faust event; Faust gives the append time in seconds."""
    message = event.message
    appended_ms = round(message.timestamp * 1_000)
    return StreamRecord(
        message.topic, message.partition, message.offset, appended_ms, message.key, message.value, message.headers
    )


def die(error: BaseException) -> None:
    """End the process hard: an agent in doubt must not go on, since Faust would ack what it never saw."""
    if isinstance(error, CoursestreamError):
        logger.critical("the worker ends: %s", error)
    else:
        logger.critical("the worker ends", exc_info=error)
    logging.shutdown()
    os._exit(EXIT_STATUS)


def create_app(settings: StreamSettings) -> faust.App:
    """Return the application of one worker; it connects when it starts."""
    patch_driver()
    app = faust.App(
        STREAM_GROUP,
        broker=[f"kafka://{server}" for server in settings.kafka_bootstrap_servers.split(",")],
        processing_guarantee="at_least_once",
        table_standby_replicas=0,
        topic_disable_leader=True,
        topic_allow_declare=False,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=settings.worker_id,
        consumer_max_fetch_size=1_310_720,  # above the largest record
        broker_session_timeout=15,
        broker_heartbeat_interval=1,  # when another worker leaves, its shards wait until the next heartbeat
        broker_rebalance_timeout=30,
        broker_request_timeout=40,
        broker_max_poll_interval=86_400,
        broker_max_poll_records=2_000,
        broker_commit_interval=1.0,
        broker_commit_every=10_000,
        stream_wait_empty=False,
        stream_buffer_maxsize=8_192,  # a poll's records fit in above the mark where fetching stops
        agent_supervisor="mode.supervisors.CrashingSupervisor",
        web_enabled=False,
    )
    app._create_directories = lambda: None  # there are no tables, so no files
    return app


async def _feed(batches: AsyncIterator[list[Any]], take: Callable[[Sequence[Record]], Awaitable[None]]) -> None:
    """Hand on batch after batch; ack what was taken durably. No exception may leave an agent."""
    try:
        async for events in batches:
            await take([record_of(event) for event in events])
            for event in events:
                event.ack()
    except Exception as error:
        die(error)


def wire(app: faust.App, worker: Worker, settings: StreamSettings) -> None:
    """Give the application its two agents, and the worker its partitions."""
    drain = partial(at_once, app) if settings.fast_drain else by_faust
    raw: Any = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}

    async def learner_events(stream: Any) -> None:
        await _feed(drain(stream), worker.take)

    async def activity(stream: Any) -> None:
        await _feed(drain(stream), worker.take_activity)

    async def on_assigned(_: faust.App, assigned: Sequence[TP], **_others: Any) -> None:
        worker.assign(sorted(tp.partition for tp in assigned if tp.topic == LEARNER_EVENTS))
        if settings.ready_file:
            settings.ready_file.write_text(f"{os.getpid()}\n")

    async def on_revoked(*_: Any, **_others: Any) -> None:
        worker.release()

    app.agent(app.topic(LEARNER_EVENTS, **raw), concurrency=1)(learner_events)
    app.agent(app.topic(ACTIVITY, **raw), concurrency=1)(activity)
    app.on_partitions_assigned.connect(on_assigned, weak=False)
    app.on_partitions_revoked.connect(on_revoked, weak=False)


async def _told(stopping: asyncio.Event, app: faust.App) -> None:
    """Wait until told to stop; an application that stops by itself leaves a worker that only looks alive."""
    told, ended = asyncio.ensure_future(stopping.wait()), asyncio.ensure_future(app.wait_until_stopped())
    await asyncio.wait({told, ended}, return_when=asyncio.FIRST_COMPLETED)
    if not stopping.is_set():
        die(app.crash_reason or RuntimeError("Faust's application has stopped by itself"))
    ended.cancel()


async def run(settings: StreamSettings) -> None:
    """Work until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    app = create_app(settings)
    async with Worker(settings, FaustFlow(app), die) as worker:
        wire(app, worker, settings)
        await app.start()
        await _told(stopping, app)
        leave_when_stopped(app)
        await app.stop()
