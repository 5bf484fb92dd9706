"""Cutting the log into spans of consecutive offsets: the agent's batches, and ranges read for a filler or a replay."""

from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from adapters.kafka import read_range
from adapters.records import Record

CHUNK: Final = 1_000
"""Records a merge: one script call must stay short, since it stops the server."""


class Span(NamedTuple):
    """The records of the offsets `first` to `last`; offsets between them may hold none."""

    records: Sequence[Record]
    first: int
    last: int

    def halves(self) -> "Sequence[Span]":
        """Return two spans that cover the same offsets; none if there is one record or none."""
        if len(self.records) < 2:
            return []
        middle = len(self.records) // 2
        border = self.records[middle].offset
        return [Span(self.records[:middle], self.first, border - 1), Span(self.records[middle:], border, self.last)]


def runs_of(records: Sequence[Record]) -> Iterator[list[Record]]:
    """Cut one partition's records, in the order they came, into runs of consecutive offsets.

    After a rebalance a batch may hold [10327] and then [10262..10298], so every step is looked at.
    """
    ordered = enumerate(records)
    for _, run in groupby(ordered, key=lambda pair: pair[1].offset - pair[0]):
        yield [record for _, record in run]


async def read_spans(
    reader: AIOKafkaConsumer, partition: TopicPartition, first: int, end: int, chunk: int = CHUNK
) -> AsyncIterator[Span]:
    """Yield spans of at most `chunk` records; together they cover every offset from `first` to `end` - 1."""
    async for records, position in read_range(reader, partition, first, end, chunk):
        if position > first:
            yield Span(records, first, position - 1)
            first = position
