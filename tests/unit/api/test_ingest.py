"""Reading a request's events: what is taken, what is rejected and why, what is filled in."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.auth import Principal
from api.ingest import Source, authorise_events, complete, parse_object, read_events, split_body
from api.intake import SLICE
from api.problems import ProblemError
from schemas.errors import InvalidEventError
from schemas.events import Enrolled, Erased

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SOURCE = Source(NOW, "app")
ENROLLED: dict[str, Any] = {
    "type": "enrolled", "event_id": "e1", "user_id": "u", "course_id": "c", "occurred_at": "2026-03-01T11:00:00Z",
}  # fmt: skip


def without(*names: str, **changes: Any) -> dict[str, Any]:
    return {**{name: value for name, value in ENROLLED.items() if name not in names}, **changes}


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (7, ""),
        (None, ""),
        (without("user_id"), "user_id"),
        (without("course_id"), "course_id"),
        (without("type"), "type"),
        (without(type="zapped"), "type"),
        (without(user_id="a\0b"), "user_id"),
        (without(user_id="x" * 10_000), "user_id"),
        (without(course_id="é" * 200), "course_id"),
        (without(course_id=5), "course_id"),
        (without(occurred_at="2026-03-01T11:00:00"), "occurred_at"),
        (without(occurred_at="yesterday"), "occurred_at"),
        (without(occurred_at=None), "occurred_at"),
        (without(occurred_at=(NOW + timedelta(minutes=6)).isoformat()), "occurred_at"),
        (without(schema_version=2), "schema_version"),
        (without(type="progressed"), "value"),
        (without(type="progressed", value=1.7), "value"),
        (without(type="rated", value=6), "value"),
        (without(type="rated", value=3, scale="five"), "scale"),
        (without(type="feedback", value="meh"), "value"),
    ],
)
async def test_an_invalid_event_is_rejected_by_its_field(event: Any, field: str) -> None:
    batch = await read_events([ENROLLED, event], SOURCE)
    assert [one.event_id for one in batch.events] == ["e1"]
    assert [(one.index, one.field) for one in batch.rejected] == [(1, field)]
    assert field in batch.rejected[0].detail


@pytest.mark.parametrize(
    "occurred_at",
    [1_772_362_800, 1_772_362_800.5, "2026-03-01T12:00:00+01:00", (NOW + timedelta(minutes=4)).isoformat()],
)
async def test_moments_may_be_unix_seconds_or_aware(occurred_at: Any) -> None:
    assert (await read_events([without(occurred_at=occurred_at)], SOURCE)).rejected == []


async def test_nothing_valid_is_a_problem_that_lists_what_was_wrong() -> None:
    with pytest.raises(ProblemError) as caught:
        await read_events([without("user_id"), 7], SOURCE)
    assert caught.value.details.status == 422
    assert [one.index for one in caught.value.details.rejected] == [0, 1]


async def test_a_huge_event_is_rejected_though_each_field_is_allowed() -> None:
    profile = without("course_id", type="profile_updated", interests=["é" * 100] * 50, goals=["é" * 100] * 50)
    assert (await read_events([profile], SOURCE)).events
    huge = {**profile, **{name: ["\x01" * 100] * 50 for name in ("interests", "goals", "languages")}}
    with pytest.raises(ProblemError, match="bytes"):
        await read_events([huge], SOURCE)


async def test_a_missing_moment_is_now() -> None:
    assert (await read_events([without("occurred_at")], SOURCE)).events[0].occurred_us == NOW.timestamp() * 1e6


def test_an_event_id_follows_from_the_content() -> None:
    first, again, other = (complete(event, SOURCE, 0) for event in
                           (without("event_id"), dict(reversed(without("event_id").items())),
                            without("event_id", course_id="d")))  # fmt: skip
    assert first["event_id"] == again["event_id"] != other["event_id"]


def test_an_event_id_follows_from_the_key_the_place_and_the_caller() -> None:
    def name(key: str, index: int, subject: str = "app", event: Any = ENROLLED) -> Any:
        bare = {field: value for field, value in event.items() if field != "event_id"}
        return complete(bare, Source(NOW, subject, key), index)["event_id"]

    assert name("k", 0) == name("k", 0, event=without("occurred_at"))
    assert len({name("k", 0), name("k", 1), name("l", 0), name("k", 0, "other app")}) == 4


def test_a_given_event_id_stays() -> None:
    assert complete(ENROLLED, Source(NOW, "app", "key"), 3)["event_id"] == "e1"


@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b"\xff", b'{"a": NaN}', b"[" * 100_000, b'"\\ud800"'])
def test_what_is_no_json_is_a_problem(body: bytes) -> None:
    with pytest.raises(ProblemError) as caught:
        split_body(body)
    assert caught.value.details.status == 400


@pytest.mark.parametrize("body", [b'{"events": 7}', b'{"events": []}', b'{"events": {}}'])
def test_a_batch_is_a_list_of_something(body: bytes) -> None:
    with pytest.raises(InvalidEventError) as caught:
        split_body(body)
    assert caught.value.field == "events"


def test_the_body_of_a_short_form_may_be_empty_but_is_an_object() -> None:
    assert parse_object(b" ") == {}
    with pytest.raises(InvalidEventError):
        parse_object(b"[]")


@pytest.mark.parametrize(
    ("subject", "scope", "may_enrol", "may_erase"),
    [
        ("u", "learner", True, True),
        ("v", "learner", False, False),
        ("u", "reader", False, False),
        ("app", "publisher", True, False),
        ("boss", "admin", False, True),
        ("boss", "admin publisher", True, True),
    ],
)
def test_who_may_publish_what(subject: str, scope: str, may_enrol: bool, may_erase: bool) -> None:
    principal = Principal(subject, frozenset(scope.split()), expires_at=0)
    common: dict[str, Any] = {"event_id": "e", "user_id": "u", "occurred_at": 1}
    for event, may in ((Enrolled(course_id="c", **common), may_enrol), (Erased(**common), may_erase)):
        if may:
            authorise_events([event], principal)
        else:
            with pytest.raises(ProblemError):
                authorise_events([event], principal)


async def test_a_large_batch_lets_others_have_their_turns() -> None:
    reading = asyncio.create_task(read_events([ENROLLED] * 10 * SLICE, SOURCE))
    turns = 0
    while not reading.done():
        await asyncio.sleep(0)
        turns += 1
    assert len((await reading).events) == 10 * SLICE
    assert turns >= 10
