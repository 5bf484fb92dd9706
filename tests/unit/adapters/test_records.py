"""Which records of the log are events, and why the others are dead letters."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from aiokafka import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

import adapters.records
from adapters.kafka import shard_of
from adapters.records import event_or_none, read_event
from schemas.errors import InvalidEventError
from schemas.events import MAX_CLOCK_SKEW_S, MAX_EVENT_BYTES, Enrolled, Erased, Viewed, encode_event
from schemas.topics import ACTIVITY, LEARNER_EVENTS
from tests.reference import Logged
from tests.shard_state import record_of

PARTITIONS = 16
APPENDED_MS = 1_700_000_000_000
ENROLLED = Enrolled(event_id="e", user_id="u1", course_id="c", occurred_at=1_700_000_000)
VIEWED = Viewed(event_id="e", user_id="u1", course_id="c", occurred_at=1_700_000_000)
GOOD = record_of(Logged(ENROLLED, APPENDED_MS), offset=7, partition=shard_of("u1", PARTITIONS))
NOBODY: frozenset[tuple[str, int, int]] = frozenset()


def with_event(**changes: Any) -> ConsumerRecord:
    """Return the good record with fields of its event changed."""
    return replace(GOOD, value=msgspec.json.encode({**msgspec.to_builtins(ENROLLED), **changes}))


def test_a_good_record_is_an_event() -> None:
    assert read_event(GOOD, PARTITIONS, NOBODY) == ENROLLED
    assert read_event(replace(GOOD, topic=ACTIVITY, value=encode_event(VIEWED)), PARTITIONS, NOBODY) == VIEWED


def test_a_missing_key_is_no_fault_if_the_partition_is_right() -> None:
    assert read_event(replace(GOOD, key=None), PARTITIONS, NOBODY) == ENROLLED


def test_an_event_may_be_as_late_as_clocks_differ() -> None:
    moment = 1_700_000_000 + MAX_CLOCK_SKEW_S
    assert read_event(with_event(occurred_at=moment), PARTITIONS, NOBODY).occurred_us == moment * 1_000_000


@pytest.mark.parametrize(
    ("record", "field", "reason"),
    [
        (replace(GOOD, topic=ACTIVITY), "type", "enrolled does not belong in topic activity"),
        (replace(GOOD, value=encode_event(VIEWED)), "type", "viewed does not belong in topic learner-events"),
        (replace(GOOD, partition=GOOD.partition + 1), "user_id", "belongs in another partition than 1"),
        (replace(GOOD, value=None), "", "no value"),
        (replace(GOOD, value=b""), "", "truncated"),
        (replace(GOOD, value=b"no JSON"), "", "malformed"),
        (replace(GOOD, value=b"\xff\xfe"), "", "malformed"),
        (replace(GOOD, value=encode_event(ENROLLED).replace(b"u1", b"\xffu")), "", "UTF-8"),
        (replace(GOOD, value=b"[" * 50_000), "", ""),
        (replace(GOOD, value=b" " * MAX_EVENT_BYTES + encode_event(ENROLLED)), "", "more than"),
        (with_event(type="graduated"), "type", "graduated"),
        (with_event(schema_version=2), "schema_version", "1"),
        (with_event(user_id=""), "user_id", ""),
        (with_event(user_id="u\x001"), "user_id", ""),
        (with_event(course_id="é" * 200), "course_id", "255"),
        (with_event(occurred_at="2023-11-14T22:13:20"), "occurred_at", "timezone"),
        (with_event(occurred_at=1_700_000_000 + MAX_CLOCK_SKEW_S + 0.000001), "occurred_at", "in the future"),
        (with_event(type="progressed", value=1.7), "value", "1.0"),
        (with_event(type="rated", value=6), "value", "off the scale"),
    ],
)
def test_a_dead_letter_says_why(record: ConsumerRecord, field: str, reason: str) -> None:
    with pytest.raises(InvalidEventError) as error:
        read_event(record, PARTITIONS, NOBODY)
    assert error.value.field == field
    assert reason in error.value.reason


def test_a_quarantined_record_is_a_dead_letter_and_its_neighbours_are_not() -> None:
    quarantined = frozenset({(LEARNER_EVENTS, GOOD.partition, 7), (ACTIVITY, GOOD.partition, 8)})
    with pytest.raises(InvalidEventError, match="quarantined"):
        read_event(GOOD, PARTITIONS, quarantined)
    assert read_event(replace(GOOD, offset=8), PARTITIONS, quarantined) == ENROLLED


def test_an_erasure_is_no_exception() -> None:
    erased = Erased(event_id="e", user_id="u1", occurred_at=1)
    assert read_event(replace(GOOD, value=encode_event(erased)), PARTITIONS, NOBODY) == erased


mangled = st.builds(
    lambda at, junk: encode_event(ENROLLED)[:at] + junk + encode_event(ENROLLED)[at + len(junk) :],
    st.integers(0, len(encode_event(ENROLLED))),
    st.binary(min_size=1, max_size=4),
)


@given(value=st.binary(max_size=200) | mangled)
def test_whatever_the_bytes_only_one_error_leaves(value: bytes) -> None:
    """Anything else would stop a worker for ever at this record."""
    try:
        event = read_event(replace(GOOD, value=value), 1, NOBODY)
    except InvalidEventError:
        return
    assert read_event(replace(GOOD, value=encode_event(event)), 1, NOBODY) == event


def test_a_record_that_breaks_the_code_is_left_out_of_a_training_with_an_alarm(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert event_or_none(GOOD, PARTITIONS, NOBODY) == ENROLLED
    assert event_or_none(replace(GOOD, value=b"no JSON"), PARTITIONS, NOBODY) is None and not caplog.text
    monkeypatch.setattr(adapters.records, "check_append_time", lambda *_: 1 / 0)
    assert event_or_none(GOOD, PARTITIONS, NOBODY) is None
    assert f"ALARM: {LEARNER_EVENTS}:{GOOD.partition}:7 breaks the code" in caplog.text
