"""Which partition a learner's events go to, the same that every Kafka client chooses; which partitions there are."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from adapters import kafka
from adapters.kafka import partitions_of, shard_of

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


@given(user_id=texts, partitions=st.integers(1, 300))
def test_a_shard_is_the_partition_the_producer_chooses(user_id: str, partitions: int) -> None:
    every = list(range(partitions))
    assert shard_of(user_id, partitions) == DefaultPartitioner()(user_id.encode(), every, every)


@pytest.mark.parametrize(
    ("user_id", "hashed"),
    [("21", -973932308), ("foobar", -790332482), ("a-little-bit-long-string", -985981536), ("abc", 479470107)],
)
def test_a_shard_is_the_partition_other_clients_choose(user_id: str, hashed: int) -> None:
    """Values of the tests of Apache Kafka's own `Utils.murmur2`."""
    assert shard_of(user_id, 256) == (hashed & 0x7FFFFFFF) % 256


def _consumer(answers: Iterator[bool]) -> Any:
    """Return a consumer that knows of topics once its broker answered with metadata."""
    known: set[int] = set()

    async def force_metadata_update() -> bool:
        has_answered = next(answers)
        known.update({0, 1} if has_answered else ())
        return has_answered

    client = SimpleNamespace(force_metadata_update=force_metadata_update)
    return SimpleNamespace(_client=client, partitions_for_topic=lambda _topic: known or None)


async def test_a_broker_that_has_just_come_back_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(await partitions_of(_consumer(iter([False, False, True])), "topic")) == 2
    monkeypatch.setattr(kafka, "_METADATA_S", 0.1)
    with pytest.raises(KafkaError, match="no broker says"):
        await partitions_of(_consumer(iter([False] * 9)), "topic")
