"""What Faust's driver is told beyond its settings, and how the flow of one partition is stopped and resumed.

Faust offers no setting for the group's assignor (its default spreads the two halves of a shard over workers) nor for
the isolation level (it reads uncommitted records).
"""

import asyncio
from typing import Any, Final

import faust
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from schemas.topics import LEARNER_EVENTS

_create_worker_consumer: Final = driver.AIOKafkaConsumerThread._create_worker_consumer


def _create_reading_committed(thread: Any, loop: asyncio.AbstractEventLoop) -> Any:
    consumer = _create_worker_consumer(thread, loop)
    consumer._isolation_level = "read_committed"  # read when the consumer starts, after this
    return consumer


def patch_driver() -> None:
    """Give workers aiokafka's Range assignor and committed records only."""
    driver.RoundRobinPartitionAssignor = RangePartitionAssignor
    driver.AIOKafkaConsumerThread._create_worker_consumer = _create_reading_committed


def leave_when_stopped(app: faust.App) -> None:
    """Have a stopping worker leave its group: a static member would stay, its shards without an owner for 15 s.

    Who is killed does not get here, so a restart after a crash finds its place and its shards kept.
    """
    thread = getattr(app.consumer, "_thread", None)
    coordinator = getattr(getattr(thread, "_consumer", None), "_coordinator", None)
    if coordinator is not None:  # None: not joined yet
        coordinator._group_instance_id = None


class FaustFlow:
    """Stops and resumes what Faust delivers of one partition of `learner-events`."""

    def __init__(self, app: faust.App) -> None:
        self._app = app

    async def pause(self, partition: int) -> None:
        """Stop a partition; Faust itself resumes all of them at the end of a rebalance, so wait for that."""
        while self._app.rebalancing or not self._app.consumer.flow_active:  # noqa: ASYNC110 - Faust signals neither
            await asyncio.sleep(0.01)
        self._app.consumer.pause_partitions({TP(LEARNER_EVENTS, partition)})

    async def resume(self, partition: int, offset: int) -> None:
        """Deliver from `offset` on, and commit it: Faust would wait for acks of what the filler merged in its place."""
        tp, consumer = TP(LEARNER_EVENTS, partition), self._app.consumer
        await consumer.seek(tp, offset)
        for acks in (consumer._acked, consumer._acked_index, consumer._gap):
            acks.pop(tp, None)
        if offset:
            await consumer._commit_offsets({tp: offset})
        consumer.resume_partitions({tp})
