"""Which partition a learner's events go to: the same that every Kafka client chooses for the key."""

import pytest
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st

from adapters.kafka import shard_of

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
