"""What Faust's driver is told beyond its settings, and how the flow of one partition is stopped and resumed.

Faust offers no setting for the group's assignor (its default spreads the two halves of a shard over workers), for the
isolation level (it reads uncommitted records), for how long a fetch waits (meanwhile no partition that ran empty is
fetched), nor for fairness: it takes all that one partition has before it looks at the next.
"""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any, Final

import faust
from aiokafka.consumer.fetcher import Fetcher, FetchResult
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import ConsumerStoppedError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.services import Service

from schemas.topics import LEARNER_EVENTS

_create_worker_consumer: Final = driver.AIOKafkaConsumerThread._create_worker_consumer


POLLED: Final = 1_000
"""Records a poll hands on: what arrives meanwhile waits for them."""

_FETCH_WAIT_MS: Final = 100


def _create_worker(thread: Any, loop: asyncio.AbstractEventLoop) -> Any:
    consumer = _create_worker_consumer(thread, loop)
    consumer._isolation_level = "read_committed"  # both are read when the consumer starts, after this
    consumer._fetch_max_wait_ms = _FETCH_WAIT_MS
    return consumer


def _room(ready: Sequence[TP]) -> dict[TP, int]:
    """Return how many records each of these partitions may hand on in one poll.

    >>> _room([TP("learner-events", 0), TP("activity", 0), TP("activity", 1)])[TP("activity", 0)]
    100
    """
    hard = [tp for tp in ready if tp.topic == LEARNER_EVENTS]
    weak = [tp for tp in ready if tp.topic != LEARNER_EVENTS]
    shares = ((hard, POLLED), (weak, POLLED // 5 if hard else POLLED))
    return {tp: max(1, room // len(tps)) for tps, room in shares for tp in tps}


async def fetch_fairly(fetcher: Fetcher, active: Collection[TP], timeout_s: float) -> dict[TP, list[Any]]:
    """Return some records of every partition that has any, of `activity` fewer; without any wait for the first."""
    ready = {tp: found for tp, found in fetcher._records.items() if tp in active}
    if not ready or any(type(found) is not FetchResult for found in ready.values()):
        first: dict[TP, list[Any]] = await fetcher.fetched_records(active, timeout=timeout_s, max_records=POLLED)
        return first  # or the error of a partition: with nothing taken yet, nothing is lost by it
    taken: dict[TP, list[Any]] = {}
    for tp, room in _room(list(ready)).items():
        taken |= await fetcher.fetched_records({tp}, max_records=room)
    return taken


async def _fetch_records(
    thread: Any, consumer: Any, active_partitions: Collection[TP], timeout: float = 0, **_: Any
) -> dict[TP, list[Any]]:
    """Stand in for the driver's method of this name."""
    if not thread.consumer.flow_active:
        return {}
    if consumer._closed or consumer._fetcher._closed:
        raise ConsumerStoppedError
    with consumer._fetcher._subscriptions.fetch_context():
        return await fetch_fairly(consumer._fetcher, active_partitions, timeout)


def _flows(consumer: Any) -> bool:
    """Whether a message can be handed on without any wait."""
    app = consumer.app
    is_held = consumer.suspend_flow.is_set() or not app.flow_control.is_active()
    return not is_held and not any(topic.queue.full() for topic in app.topics)


async def _wait_first(consumer: Any, *coros: Any, timeout: float | None = None) -> Any:
    """Hand a message on at once if nothing holds it up: Faust makes four tasks of each, in case that something does."""
    if len(coros) == 2 and _flows(consumer):
        handing_on, held_up = coros
        held_up.close()
        return await handing_on
    return await Service.wait_first(consumer, *coros, timeout=timeout)


def patch_driver() -> None:
    """Give workers aiokafka's Range assignor, committed records only, and a fast and fair way for every partition."""
    driver.Consumer.wait_first = _wait_first
    driver.RoundRobinPartitionAssignor = RangePartitionAssignor
    driver.AIOKafkaConsumerThread._create_worker_consumer = _create_worker
    driver.AIOKafkaConsumerThread._fetch_records = _fetch_records


def leave_when_stopped(app: faust.App) -> None:
    """Have a stopping worker leave its group: a static member would stay, its shards without an owner for 15 s.

    Who is killed does not get here, so a restart after a crash finds its place and its shards kept.
    """
    if (coordinator := _coordinator_of(app)) is not None:  # None: not joined yet
        coordinator._group_instance_id = None


def _coordinator_of(app: faust.App) -> Any:
    thread = getattr(app.consumer, "_thread", None)
    return getattr(getattr(thread, "_consumer", None), "_coordinator", None)


class FaustFlow:
    """Stops and resumes what Faust delivers of one partition of `learner-events`."""

    def __init__(self, app: faust.App) -> None:
        self._app = app

    def rejoin(self) -> None:
        """Join the group again, so that shards without an owner are given to somebody.

        A leader whose client saw no topic, since that was just being made anew, would give nobody anything once more:
        it looks again first, which else it does after minutes.
        """
        if (coordinator := _coordinator_of(self._app)) is not None:

            def look_and_join() -> None:
                coordinator._client.force_metadata_update()
                coordinator.request_rejoin()

            self._app.consumer._thread.thread_loop.call_soon_threadsafe(look_and_join)

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
