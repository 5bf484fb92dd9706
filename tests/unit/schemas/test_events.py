"""A malformed event is refused, and the refusal names the field."""

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InvalidEventError
from schemas.events import (
    EVENT_TYPES,
    MAX_CLOCK_SKEW_S,
    MAX_EVENT_BYTES,
    SCHEMA_VERSION,
    Enrolled,
    Progressed,
    Rated,
    check_append_time,
    convert_event,
    decode_event,
    encode_event,
    scale_bounds,
    to_microseconds,
)

BASE: dict[str, Any] = {"event_id": "e", "user_id": "u", "course_id": "c", "occurred_at": 5}
EXTRAS: dict[str, dict[str, Any]] = {
    "progressed": {"value": 0.5},
    "rated": {"value": 4},
    "graded": {"value": 50},
    "feedback": {"value": "useful"},
    "searched": {"query": "sql"},
}


def body(kind: str, **more: object) -> dict[str, Any]:
    return {"type": kind, **BASE, **EXTRAS.get(kind, {}), **more}


def without(kind: str, field: str) -> dict[str, Any]:
    return {name: value for name, value in body(kind).items() if name != field}


@pytest.mark.parametrize("kind", sorted(EVENT_TYPES))
def test_every_type_decodes_to_its_struct_and_back(kind: str) -> None:
    event = decode_event(json.dumps(body(kind)).encode())
    assert type(event) is EVENT_TYPES[kind]
    assert event.type_name == kind
    assert decode_event(encode_event(event)) == event == convert_event(body(kind))


MALFORMED: list[tuple[str, dict[str, Any], str]] = [
    ("no type", {name: value for name, value in body("enrolled").items() if name != "type"}, "type"),
    ("unknown type", body("graduated"), "type"),
    ("type is a number", body("enrolled", type=7), "type"),
    ("no event_id", without("enrolled", "event_id"), "event_id"),
    ("no user_id", without("enrolled", "user_id"), "user_id"),
    ("no course_id", without("enrolled", "course_id"), "course_id"),
    ("no occurred_at", without("enrolled", "occurred_at"), "occurred_at"),
    ("no value", without("progressed", "value"), "value"),
    ("no query", without("searched", "query"), "query"),
    ("progress 1.7", body("progressed", value=1.7), "value"),
    ("progress below 0", body("progressed", value=-0.1), "value"),
    ("progress is text", body("progressed", value="half"), "value"),
    ("rating off its scale", body("rated", value=6), "value"),
    ("rating below its scale", body("rated", value=0.5), "value"),
    ("rating off its own scale", body("rated", value=11, scale="1-10"), "value"),
    ("rating is null", body("rated", value=None), "value"),
    ("grade off the scale", body("graded", value=101), "value"),
    ("scale is no scale", body("rated", scale="five stars"), "scale"),
    ("scale falls", body("rated", scale="5-1"), "scale"),
    ("unknown feedback", body("feedback", value="meh"), "value"),
    ("naive time", body("enrolled", occurred_at="2024-03-01T09:30:00"), "occurred_at"),
    ("no time", body("enrolled", occurred_at="soon"), "occurred_at"),
    ("time before 1970", body("enrolled", occurred_at="1969-12-31T23:59:59Z"), "occurred_at"),
    ("negative seconds", body("enrolled", occurred_at=-1), "occurred_at"),
    ("time after 2100", body("enrolled", occurred_at="2100-01-02T00:00:00Z"), "occurred_at"),
    ("milliseconds as seconds", body("enrolled", occurred_at=1709285400000), "occurred_at"),
    ("NUL in user_id", body("enrolled", user_id="a\x00b"), "user_id"),
    ("NUL in course_id", body("enrolled", course_id="\x00"), "course_id"),
    ("newline at the end of an id", body("enrolled", course_id="c\n"), "course_id"),
    ("empty id", body("enrolled", user_id=""), "user_id"),
    ("id of 10,000 characters", body("enrolled", user_id="u" * 10_000), "user_id"),
    ("id of 300 bytes", body("enrolled", course_id="ö" * 150), "course_id"),
    ("id is a number", body("enrolled", course_id=7), "course_id"),
    ("event_id of 10,000 characters", body("enrolled", event_id="e" * 10_000), "event_id"),
    ("newer schema version", body("enrolled", schema_version=SCHEMA_VERSION + 1), "schema_version"),
    ("schema version 0", body("enrolled", schema_version=0), "schema_version"),
    ("review too long", body("rated", review="x" * 2_001), "review"),
    ("interests are no list", body("profile_updated", interests="sql"), "interests"),
    ("an interest is empty", body("profile_updated", interests=["sql", ""]), "interests"),
    ("empty query", body("searched", query=""), "query"),
]


@pytest.mark.parametrize(("row", "field"), [case[1:] for case in MALFORMED], ids=[case[0] for case in MALFORMED])
def test_a_malformed_event_names_its_field_on_every_way_in(row: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidEventError) as decoded:
        decode_event(json.dumps(row).encode())
    with pytest.raises(InvalidEventError) as converted:
        convert_event(row)
    for caught in (decoded.value, converted.value):
        assert caught.field.partition("[")[0] == field
        assert str(caught).startswith(f"{caught.field}: ")
        assert len(str(caught)) < 300


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "truncated"),
        (b"hello", "malformed"),
        (b"\xff\xfe\x00", "malformed"),
        (b'{"type": "enrolled"', "truncated"),
        (b"[]", "Expected `object`"),
        (b"null", "Expected `object`"),
        (json.dumps(body("progressed", value=math.nan)).encode(), "malformed"),
        (json.dumps(body("rated", value=math.inf)).encode(), "malformed"),
        (b'{"type": "enrolled", "user_id": "\xff"}', "not UTF-8"),
        (b'{"type": "enrolled", "user_id": "\\ud800"}', "truncated"),
        (b'{"a":' * 10_000, "nested too deep"),
        (b"[" * 60_000, "Expected `object`"),
        (b" " * MAX_EVENT_BYTES + b"{}", f"more than {MAX_EVENT_BYTES}"),
    ],
    ids=range(13),
)
def test_what_is_no_event_at_all_is_refused_as_a_whole(raw: bytes, reason: str) -> None:
    with pytest.raises(InvalidEventError) as caught:
        decode_event(raw)
    assert caught.value.field == ""
    assert reason in caught.value.reason


@pytest.mark.parametrize(("kind", "value"), [("progressed", math.nan), ("progressed", math.inf), ("rated", math.nan)])
def test_nan_does_not_slip_through_parsed_bodies(kind: str, value: float) -> None:
    with pytest.raises(InvalidEventError) as caught:
        convert_event(body(kind, value=value))
    assert caught.value.field == "value"


def test_a_deep_unknown_key_does_not_harm() -> None:
    deep: list[object] = []
    for _ in range(100):
        deep = [deep]
    assert isinstance(decode_event(json.dumps(body("enrolled", app=deep)).encode()), Enrolled)


def test_an_event_may_be_as_far_in_the_future_as_clocks_differ() -> None:
    appended_ms = 1_709_285_400_000
    moment = datetime.fromtimestamp(appended_ms / 1_000, UTC) + timedelta(seconds=MAX_CLOCK_SKEW_S)
    check_append_time(Enrolled(**{**BASE, "occurred_at": moment}), appended_ms)
    with pytest.raises(InvalidEventError) as caught:
        check_append_time(Enrolled(**{**BASE, "occurred_at": moment + timedelta(microseconds=1)}), appended_ms)
    assert caught.value.field == "occurred_at"


@given(st.datetimes(datetime(1970, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001 (bounds)
def test_microseconds_survive_the_log(moment: datetime) -> None:
    event = Progressed(**{**BASE, "occurred_at": moment, "value": 0.25})
    assert decode_event(encode_event(event)).occurred_us == event.occurred_us == to_microseconds(moment)


@given(st.integers(-999_999, 999_999), st.integers(1, 999_999), st.floats(0, 1))
def test_scales_round_trip_and_hold_their_values(low: int, width: int, place: float) -> None:
    scale = f"{low}-{min(low + width, 999_999)}"
    if low == 999_999:
        return
    bounds = scale_bounds(scale)
    value = bounds[0] + place * (bounds[1] - bounds[0])
    assert decode_event(encode_event(Rated(**BASE, value=value, scale=scale))) == Rated(
        **BASE, value=value, scale=scale
    )
