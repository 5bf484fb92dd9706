"""Writing dead letters to a real broker that does not take them as they are."""

from collections.abc import AsyncIterator

import pytest
from aiokafka import AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

import stream.dead_letters
from adapters.kafka import open_producer, open_reader, read_range
from deploy.embedded import EmbeddedStack
from schemas.errors import InvalidEventError
from stream.dead_letters import PRODUCER, DeadRecord, write_dead_letters
from stream.letters import letter_of
from tests.integration.house import enrolled
from tests.reference import Logged
from tests.shard_state import record_of


@pytest.fixture
async def producer(stack: EmbeddedStack) -> AsyncIterator[AIOKafkaProducer]:
    """Open the producer of dead letters."""
    async with open_producer(stack.bootstrap_servers, **PRODUCER) as opened:
        yield opened


async def make_topic(stack: EmbeddedStack, monkeypatch: pytest.MonkeyPatch, max_bytes: int) -> str:
    """Make a topic that takes no larger record, in the place of the dead letters'."""
    name = f"dead-letters-{max_bytes}"
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(name, 1, 1, topic_configs={"max.message.bytes": str(max_bytes)})])
    await admin.close()
    monkeypatch.setattr(stream.dead_letters, "DEAD_LETTERS", name)
    return name


async def read(stack: EmbeddedStack, topic: str) -> list[ConsumerRecord]:
    """Read a topic."""
    partition, found = TopicPartition(topic, 0), list[ConsumerRecord]()
    async with open_reader(stack.bootstrap_servers) as reader:
        end = (await reader.end_offsets([partition]))[partition]
        async for records, _ in read_range(reader, partition, 0, end):
            found += records
    return found


def dead(offset: int, value: bytes) -> DeadRecord:
    """Return a record that is no event."""
    record = record_of(Logged(enrolled("u"), 1), offset)
    object.__setattr__(record, "value", value)
    return DeadRecord(record, InvalidEventError("value", "is odd: \ud800" + "x" * 1_000))


async def test_what_the_topic_takes_only_cut_is_cut_and_says_so(
    stack: EmbeddedStack, producer: AIOKafkaProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = await make_topic(stack, monkeypatch, 100_000)
    await write_dead_letters(producer, [dead(1, b"small"), dead(2, b"x" * 150_000), dead(3, b"small too")])
    letters = {one.position.offset: one for record in await read(stack, topic) if (one := letter_of(record))}
    assert {offset: (one.num_bytes, one.is_cut) for offset, one in letters.items()} == {
        1: (5, False), 2: (150_000, True), 3: (9, False),
    }  # fmt: skip
    assert {len(one.reason) for one in letters.values()} == {500}


async def test_what_the_topic_never_takes_holds_nothing_up(
    stack: EmbeddedStack,
    producer: AIOKafkaProducer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    topic = await make_topic(stack, monkeypatch, 100)
    await write_dead_letters(producer, [dead(7, b"x")])
    assert "ALARM: the dead letter of learner-events:0:7 (value: is odd" in caplog.text
    assert not await read(stack, topic)
