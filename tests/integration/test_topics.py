"""Founding a system over topics that are there already."""

from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import MessageSizeTooLargeError

from adapters.topics import ensure_topics
from deploy.embedded import EmbeddedStack, embedded
from schemas.topics import ACTIVITY, MAX_MESSAGE_BYTES, UNCOMPRESSED
from tests.wire import GZIP, Wire, batch_of, send_raw


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """Run an own Kafka."""
    with embedded(tmp_path_factory.mktemp("stack"), partitions=2) as running:
        yield running


async def test_topics_of_an_older_system_are_stored_uncompressed_and_keep_what_was_set(stack: EmbeddedStack) -> None:
    """Else a batch of a megabyte may inflate to a gigabyte in every reader."""
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.bootstrap_servers)
    await admin.start()
    topic = ConfigResource(ConfigResourceType.TOPIC, ACTIVITY)

    async def settings() -> dict[str, str]:
        (answer,) = await admin.describe_configs([topic])
        return {entry[0]: entry[1] for entry in answer.resources[0][4]}

    older: Any = {"compression.type": "producer", "retention.ms": "77000000", "message.timestamp.type": "LogAppendTime"}
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, ACTIVITY, older)])
    assert (await settings())["compression.type"] == "producer"
    await ensure_topics(stack.bootstrap_servers, 2)
    now = await settings()
    await admin.close()
    assert now["compression.type"] == UNCOMPRESSED
    assert (now["retention.ms"], now["message.timestamp.type"]) == ("77000000", "LogAppendTime")
    bomb = batch_of([Wire(b"\0" * 30_000_000)], GZIP)
    raw = AIOKafkaProducer(bootstrap_servers=stack.bootstrap_servers, max_request_size=MAX_MESSAGE_BYTES)
    async with raw:
        with pytest.raises(MessageSizeTooLargeError):
            await send_raw(raw, bomb, 1, ACTIVITY, 0)
