"""Cutting the log into runs: the agent's batches, and ranges read for a filler or a replay."""

from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import groupby
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from adapters.follow import ControlLog
from adapters.kafka import read_range
from adapters.records import Record
from stream.merge import Run, join_run

CHUNK: Final = 1_000
"""Records a merge: one script call must stay short, since it stops the server."""


def runs_of(records: Sequence[Record]) -> Iterator[list[Record]]:
    """Cut one partition's records, in the order they came, into runs of consecutive offsets.

    After a rebalance a batch may hold [10327] and then [10262..10298], so every step is looked at.
    """
    ordered = enumerate(records)
    for _, run in groupby(ordered, key=lambda pair: pair[1].offset - pair[0]):
        yield [record for _, record in run]


async def read_runs(
    reader: AIOKafkaConsumer, partition: TopicPartition, first: int, end: int, control: ControlLog
) -> AsyncIterator[Run]:
    """Yield the runs of a range of the log, joined; together they cover every offset from `first` to `end` - 1."""
    async for records, position in read_range(reader, partition, first, end, CHUNK):
        if position > first:
            yield join_run(records, first, position - 1, control.state)
            first = position
