"""Batches whose headers have names that are not UTF-8, as a consumer of ours reads them."""

import pytest
from aiokafka.consumer import fetcher
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

import adapters.kafka  # noqa: F401 - what opens consumers makes them lenient
from tests.wire import GZIP, Wire, batch_of

ODD = (b"\xff\xfe", b"v")
WIRES = [Wire(b"a"), Wire(b"b", headers=((b"h", b"1"), ODD)), Wire(None, None), Wire(b"d", headers=(ODD, (b"h", None)))]


def read(raw: bytes, first: int = 0) -> list[tuple[int, bytes | None, tuple[tuple[str, bytes | None], ...]]]:
    """Read fetched bytes as aiokafka's consumer does."""
    records = fetcher.MemoryRecords(raw)
    found = fetcher.PartitionRecords(TopicPartition("t", 0), records, [], first, None, None, True, 1)
    return [(record.offset, record.value, record.headers) for record in found]


@pytest.mark.parametrize("codec", [0, GZIP])
def test_every_record_is_read_and_the_odd_names_are_replaced(codec: int) -> None:
    assert read(batch_of(WIRES, codec)) == [
        (0, b"a", ()),
        (1, b"b", (("h", b"1"), ("\ufffd\ufffd", b"v"))),
        (2, None, ()),
        (3, b"d", (("\ufffd\ufffd", b"v"), ("h", None))),
    ]


@pytest.mark.parametrize("first", range(5))
def test_a_reader_may_begin_anywhere_in_the_batch(first: int) -> None:
    assert [offset for offset, *_ in read(batch_of(WIRES), first)] == list(range(first, 4))


def test_without_it_no_consumer_would_get_past_such_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "MemoryRecords", MemoryRecords)
    with pytest.raises(UnicodeDecodeError):
        read(batch_of(WIRES))
