"""The trainer as a process: it watches the log and the decisions, and has a child train when that is due."""

import asyncio
import contextlib
import logging
import os
import signal
import time
from pathlib import Path
from typing import Final

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from adapters.follow import ControlLog, append_control
from adapters.kafka import open_reader, partitions_of
from schemas.control import ModelPublished, ModelRefused, RefitEnded, RefitRequested, decode_control
from schemas.errors import CoursestreamError
from schemas.topics import COURSES, LEARNER_EVENTS
from trainer.result import TrainResult
from trainer.schedule import Job, Live, Schedule
from trainer.settings import TrainerSettings
from trainer.train import bootstrap_once, train_once

logger: Final = logging.getLogger(__name__)

FIRST_RETRY_S: Final = 5.0
LONGEST_RETRY_S: Final = 60.0
"""What failed is tried again after so long, each time twice as long as before, up to this."""

_POLL_S: Final = 0.5
_BEAT_S: Final = 1.0


class Decisions(ControlLog):
    """The decisions, and whether a refit was asked for that no training has answered yet."""

    def __init__(self, bootstrap_servers: str) -> None:
        super().__init__(bootstrap_servers)
        self.request: RefitRequested | None = None
        self.requested = -1
        """Offset of the newest request."""
        self.made: ModelPublished | ModelRefused | None = None
        """The model that was trained last, published or refused."""

    def take(self, record: ConsumerRecord) -> None:
        """Fold one decision."""
        super().take(record)
        with contextlib.suppress(msgspec.DecodeError):
            match decode_control(record.value or b""):
                case RefitRequested() as request:
                    self.request, self.requested = request, record.offset
                case RefitEnded(requested=requested):
                    self.answered(requested)
                case ModelPublished(bootstrap=False) | ModelRefused() as made:
                    self.made = made

    def answered(self, requested: int) -> None:
        """Take in that a training has answered all requests up to this one; a later one asks for another."""
        if self.requested <= requested:
            self.request = None


class Trainer:
    """Looks, decides, trains; one training at a time."""

    def __init__(self, settings: TrainerSettings, decisions: Decisions, reader: AIOKafkaConsumer) -> None:
        self._settings = settings
        self._decisions = decisions
        self._reader = reader
        self._partitions: list[TopicPartition] = []
        self._failed = -1
        """Offset of the request whose training failed."""
        self._pause_s = FIRST_RETRY_S
        self.schedule = Schedule(settings)

    async def run(self) -> None:
        """Train whenever it is due, for ever."""
        while True:
            try:
                await self._look()
            except KafkaError as error:
                logger.warning("Kafka does not say how long the log is: %r; trying again", error)
            else:
                job = self.schedule.due(time.monotonic())
                if job is not None:
                    await self._do(job)
            await asyncio.sleep(_POLL_S)

    async def _look(self) -> None:
        """Take in how much is in the log and what is live."""
        if not self._partitions:
            events = await partitions_of(self._reader, LEARNER_EVENTS)
            courses = await partitions_of(self._reader, COURSES)
            self._partitions = events + courses if events and courses else []
        ends = await self._reader.end_offsets(self._partitions)
        now_s = time.monotonic()
        for topic, growth in ((LEARNER_EVENTS, self.schedule.events), (COURSES, self.schedule.courses)):
            growth.see(sum(end for partition, end in ends.items() if partition.topic == topic), now_s)
        self._look_at_models(now_s)

    def _look_at_models(self, now_s: float) -> None:
        schedule, decisions = self.schedule, self._decisions
        is_failed = decisions.requested == self._failed and now_s < schedule.retry_at_s
        schedule.requested = decisions.request is not None and not is_failed
        if decisions.made is not None:
            schedule.trained_events = sum(decisions.made.offsets.get(LEARNER_EVENTS, []))
        live = decisions.state.models.get(decisions.state.model_version)
        if live is None:
            return
        schedule.live = Live.BOOTSTRAP if live.record.bootstrap else Live.TRAINED
        schedule.live_courses = sum(live.record.offsets.get(COURSES, []))
        schedule.live_since_s = now_s - max(0.0, time.time() - live.published_ms / 1_000)

    async def _do(self, job: Job) -> None:
        """Do what is due; a failure is logged and tried again later, and what was live stays live."""
        schedule, request, requested = self.schedule, self._decisions.request, self._decisions.requested
        schedule.attempted_courses = schedule.courses.count
        if job is Job.TRAIN:
            schedule.attempted_events = schedule.events.count
        try:
            result = await self._make(job, force=request is not None and request.force)
            if job is Job.TRAIN and request is not None:
                await self._answer(requested, result)
        except (CoursestreamError, KafkaError) as error:
            logger.error("%s failed, to be tried again in %d s: %s", job, self._pause_s, error)
            self._failed = requested
            self._forget(job)
        else:
            self._pause_s = FIRST_RETRY_S
            logger.info("%s %s in %.1f s: %s", job, result.version or "without a model", result.seconds, result.reason)
        schedule.ended_s = time.monotonic()

    async def _answer(self, requested: int, result: TrainResult) -> None:
        """Say what became of a refit that was asked for; one that is asked for meanwhile is another."""
        names = ("version", "published", "offsets", "reason")
        ended = RefitEnded(requested=requested, **{name: getattr(result, name) for name in names})
        await append_control(self._settings.kafka_bootstrap_servers, ended)
        self._decisions.answered(requested)

    def _forget(self, job: Job) -> None:
        """Make what failed due again, after a while."""
        self.schedule.retry_at_s = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_RETRY_S)
        self.schedule.attempted_courses = 0
        if job is Job.TRAIN:
            self.schedule.attempted_events = 0

    async def _make(self, job: Job, force: bool) -> TrainResult:
        if job is Job.BOOTSTRAP:
            return await bootstrap_once(self._settings)
        return await train_once(self._settings, force=force)


async def _beat(ready_file: Path) -> None:
    """Show the supervisor that this process lives, for ever: it looks at the time of the file."""
    while True:
        ready_file.touch()
        await asyncio.sleep(_BEAT_S)


async def follow(settings: TrainerSettings) -> None:
    """Train whenever it is due, until cancelled."""
    async with (
        Decisions(settings.kafka_bootstrap_servers) as decisions,
        open_reader(settings.kafka_bootstrap_servers) as reader,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(decisions.run())
        tasks.create_task(Trainer(settings, decisions, reader).run())
        if settings.ready_file:
            settings.ready_file.write_text(f"{os.getpid()}\n")
            tasks.create_task(_beat(settings.ready_file))
        logger.info("the trainer follows the log")


async def run(settings: TrainerSettings) -> None:
    """Work until SIGTERM or SIGINT; a training under way is ended with it."""
    work = asyncio.create_task(follow(settings))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work
