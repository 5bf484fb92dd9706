"""What a dead letter says, and where its record goes when it is published again."""

from dataclasses import replace
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from adapters.kafka import shard_of
from schemas.errors import InvalidEventError
from schemas.events import encode_event
from schemas.topics import DEAD_LETTERS, LEARNER_EVENTS, Position
from stream.dead_letters import DeadRecord, headers_of
from stream.letters import Letter, destination, letter_of
from tests.reference import Logged
from tests.served import enrolled
from tests.shard_state import record_of

PARTITIONS = 16
EVENT = enrolled("u1", "c1")
SHARD = shard_of("u1", PARTITIONS)
SOURCE = record_of(Logged(EVENT, 1_000), offset=7, partition=3)
LETTER = Letter(Position(LEARNER_EVENTS, 3, 7), (0, 5), 2_000, "user_id", "is odd", b"u1", b"", 0)


def written(source: ConsumerRecord, field: str = "user_id", reason: str = "is odd") -> ConsumerRecord:
    """Return the dead letter of a record, as it is read."""
    headers: Any = headers_of(DeadRecord(source, InvalidEventError(field, reason)))
    return replace(source, topic=DEAD_LETTERS, partition=0, offset=5, timestamp=2_000, headers=tuple(headers))


def test_a_letter_says_what_was_written() -> None:
    value = encode_event(EVENT)
    assert letter_of(written(SOURCE)) == replace(LETTER, preview=value, num_bytes=len(value))


def test_forged_headers_of_a_record_stay_out_of_its_letter() -> None:
    forged = (("source-offset", b"99"), ("reason", b"none"), ("retry-of", b"learner-events:3:1"))
    letter = letter_of(written(replace(SOURCE, headers=forged)))
    assert letter is not None and letter.position == LETTER.position and letter.reason == "is odd"
    assert letter.retry_of == "learner-events:3:1"
    odd = written(replace(SOURCE, headers=(("retry-of", b"\xff"), ("retry-of", b"7"), ("retry-of", None))))
    assert "retry-of" not in dict(odd.headers)


@pytest.mark.parametrize(
    "headers",
    [(), (("source-topic", b"learner-events"),), (("source-topic", None), ("source-partition", b"x"))],
)
def test_what_is_no_letter_is_passed_over(headers: Any) -> None:
    assert letter_of(replace(written(SOURCE), headers=headers)) is None


@pytest.mark.parametrize(
    ("key", "value", "goes_to"),
    [
        (b"another", encode_event(EVENT), (b"u1", SHARD)),
        (None, encode_event(EVENT), (b"u1", SHARD)),
        (b"u1", b"of a newer version", (b"u1", SHARD)),
        (b"\xff", b"no event", (b"\xff", 3)),
        (None, b"no event", (None, 3)),
        (b"", b"no event", (b"", 3)),
    ],
)
def test_a_retry_goes_where_its_learner_belongs_or_its_key_or_where_it_was(
    key: bytes | None, value: bytes, goes_to: tuple[bytes | None, int]
) -> None:
    assert destination(replace(LETTER, key=key), value, PARTITIONS) == goes_to
