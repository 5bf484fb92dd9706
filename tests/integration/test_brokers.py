"""Clients whose brokers are away: they ask those again that they were given, and end no task of ours."""

import asyncio

import pytest
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import RequestTimedOutError
from aiokafka.structs import BrokerMetadata

from adapters.brokers import begin_anew_without_brokers
from adapters.kafka import open_reader
from deploy.embedded import EmbeddedStack
from deploy.ports import LOOPBACK, free_port
from schemas.topics import LEARNER_EVENTS


async def test_brokers_are_found_again(stack: EmbeddedStack) -> None:
    begin_anew_without_brokers()  # as does the import of adapters.kafka
    client = AIOKafkaClient(bootstrap_servers=stack.bootstrap_servers)
    await client.bootstrap()
    try:
        await client.set_topics([LEARNER_EVENTS])
        stood = client.cluster.brokers()
        client.cluster._brokers = {7: BrokerMetadata(7, LOOPBACK, free_port(), None)}
        assert await client.force_metadata_update()
        assert client.cluster.brokers() == stood
        assert client.cluster.partitions_for_topic(LEARNER_EVENTS)
    finally:
        await client.close()


async def test_a_reader_closed_while_a_failed_fetch_rests_does_not_cancel_who_closes_it(stack: EmbeddedStack) -> None:
    async def refuse(*_: object) -> None:
        raise RequestTimedOutError

    async with open_reader(stack.bootstrap_servers, retry_backoff_ms=60_000) as reader:
        partition = TopicPartition(LEARNER_EVENTS, 0)
        reader.assign([partition])
        await reader.seek_to_beginning(partition)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reader._client, "send", refuse)
            await reader.getmany(timeout_ms=500)
    assert not any(connection.connected() for connection in reader._client._conns.values())


async def test_a_reader_whose_task_is_cancelled_passes_that_on(stack: EmbeddedStack) -> None:
    async def read() -> None:
        async with open_reader(stack.bootstrap_servers):
            await asyncio.Event().wait()

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.5)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
