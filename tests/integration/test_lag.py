"""Lag on a real Kafka and Redis."""

import time
from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from adapters.kafka import shard_of
from adapters.redis import Client, connect
from deploy.embedded import EmbeddedStack
from schemas.events import Enrolled, Viewed
from schemas.keys import ShardKeys
from schemas.meta import Status
from schemas.settings import Connections
from schemas.topics import ACTIVITY, LEARNER_EVENTS, STREAM_GROUP
from stream.lag import PartitionLag, open_lag_reader, read_lag
from stream.publisher import open_publisher, publish_events
from stream.view import open_shard

USER = "lagging"


@pytest.fixture
def connections(stack: EmbeddedStack) -> Connections:
    """Name the stack's addresses."""
    return Connections(kafka_bootstrap_servers=stack.bootstrap_servers, redis_url=stack.redis_url)


@pytest.fixture
async def redis(connections: Connections) -> AsyncIterator[Client]:
    """Connect to the stack's Redis, emptied."""
    client = connect(connections)
    await client.flushall()
    yield client
    await client.flushall()
    await client.aclose()


def place_of(partitions: list[PartitionLag], topic: str, shard: int) -> PartitionLag:
    """Return one partition."""
    return next(one for one in partitions if (one.topic, one.partition) == (topic, shard))


async def test_lag_follows_what_the_state_has_applied(
    stack: EmbeddedStack, connections: Connections, redis: Client
) -> None:
    shard = shard_of(USER, stack.partitions)
    events = [Enrolled(event_id=str(i), user_id=USER, course_id="c", occurred_at=i) for i in range(10)]
    started = time.time()
    async with open_publisher(stack.bootstrap_servers) as producer:
        await publish_events(producer, events)
    async with open_lag_reader(connections) as reader:
        absent = place_of((await reader.read()).partitions, LEARNER_EVENTS, shard)
        assert (absent.group, absent.state, absent.applied) == (STREAM_GROUP, "absent", None)
        assert absent.lag == absent.end >= 10

        view, _ = await open_shard(redis, ShardKeys(shard, 0), 0)
        await view.guarded(redis, status=Status.LIVE, applied=str(absent.end - 4))
        behind = place_of((await reader.read()).partitions, LEARNER_EVENTS, shard)
        assert (behind.lag, behind.applied, behind.state) == (3, absent.end - 4, "live")
        assert 0 < behind.lag_s < time.time() - started + 1

        await view.guarded(redis, applied=str(absent.end - 1))
        caught_up = place_of((await reader.read()).partitions, LEARNER_EVENTS, shard)
        assert (caught_up.end, caught_up.lag, caught_up.lag_s) == (absent.end, 0, 0.0)


async def test_lag_of_activity_follows_the_commits(
    stack: EmbeddedStack, connections: Connections, redis: Client
) -> None:
    place = TopicPartition(ACTIVITY, shard_of(USER, stack.partitions))
    events = [Viewed(event_id=str(i), user_id=USER, course_id="c", occurred_at=i) for i in range(10)]
    async with open_publisher(stack.bootstrap_servers) as producer:
        await publish_events(producer, events)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=stack.bootstrap_servers, group_id=STREAM_GROUP, enable_auto_commit=False
    )
    await consumer.start()
    try:
        consumer.assign([place])
        end = (await consumer.end_offsets([place]))[place]
        await consumer.commit({place: end - 4})
    finally:
        await consumer.stop()
    read = await read_lag(connections)
    assert [one.topic for one in read.partitions] == [LEARNER_EVENTS] * 4 + [ACTIVITY] * 4
    found = place_of(read.partitions, *place)
    assert (found.committed, found.end, found.lag) == (end - 4, end, 4)
    assert found.lag_s > 0
    assert read.lag == sum(one.lag for one in read.partitions)
