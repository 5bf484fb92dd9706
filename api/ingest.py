"""What a request body publishes: events read, completed, checked and authorised. Pure: no clock, no connection."""

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

import msgspec

from api.access import forbidden
from api.answers import Rejection
from api.auth import Principal
from api.intake import SLICE
from api.problems import INVALID_EVENT, ProblemError
from schemas.errors import InvalidEventError
from schemas.events import MAX_EVENT_BYTES, AnyEvent, Erased, check_append_time, convert_event, encode_event
from schemas.ids import EVENT_NAMESPACE

_SEPARATOR: Final = "\x1f"


@dataclass(frozen=True)
class Source:
    """Where and when a request came from: what missing fields are completed with. `now` is aware."""

    now: datetime
    subject: str
    idempotency_key: str | None = None

    @cached_property
    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return int(self.now.timestamp() * 1_000)

    @cached_property
    def now_iso(self) -> str:
        """ISO 8601, UTC."""
        return self.now.astimezone(UTC).isoformat()


@dataclass
class Batch:
    """The events of a request that are valid, and those that are not."""

    events: list[AnyEvent] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    """The valid events as records hold them."""
    places: list[int] = field(default_factory=list)
    """Where the valid events stand in the request."""
    rejected: list[Rejection] = field(default_factory=list)


def parse_json(body: bytes) -> Any:
    """Return the JSON value of a body, or raise the 400 problem."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemError(400, f"the body is no JSON: {error}", kind=INVALID_EVENT) from None


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body, an empty one for an empty body."""
    value = parse_json(body) if body.strip() else {}
    if not isinstance(value, dict):
        raise InvalidEventError("body", "expected a JSON object")
    return value


def split_body(body: bytes) -> list[Any]:
    """Return what a body holds: one event, or those of `{"events": [...]}`.

    >>> split_body(b'{"events": [{"type": "enrolled"}, 7]}')
    [{'type': 'enrolled'}, 7]
    """
    value = parse_json(body)
    if not isinstance(value, dict) or "events" not in value:
        return [value]
    if not isinstance(value["events"], list) or not value["events"]:
        raise InvalidEventError("events", "expected a list of one event or more")
    return value["events"]


def complete(fields: Mapping[str, Any], source: Source, index: int) -> dict[str, Any]:
    """Return an event's fields with the missing ones filled in.

    `occurred_at` is now; `event_id` follows from the idempotency key and the place in the batch, else from the content,
    so that a repeated request names the same event.
    """
    completed = dict(fields)
    completed.setdefault("occurred_at", source.now_iso)
    if "event_id" not in completed:
        if source.idempotency_key:
            name = _SEPARATOR.join(("key", source.subject, source.idempotency_key, str(index)))
        else:
            name = msgspec.json.encode(completed, order="sorted").decode()
        completed["event_id"] = str(uuid.uuid5(EVENT_NAMESPACE, name))
    return completed


def _read_event(candidate: Any, source: Source, index: int) -> tuple[AnyEvent, bytes]:
    if not isinstance(candidate, dict):
        raise InvalidEventError("", "expected a JSON object")
    event = convert_event(complete(candidate, source, index))
    check_append_time(event, source.now_ms)
    value = encode_event(event)
    if len(value) > MAX_EVENT_BYTES:
        raise InvalidEventError("", f"the event has {len(value)} bytes, more than {MAX_EVENT_BYTES}")
    return event, value


async def read_events(candidates: Sequence[Any], source: Source) -> Batch:
    """Return the valid and the rejected events; raise the 422 problem if none is valid."""
    batch = Batch()
    for index, candidate in enumerate(candidates):
        if index % SLICE == SLICE - 1:
            await asyncio.sleep(0)
        try:
            event, value = _read_event(candidate, source, index)
        except InvalidEventError as error:
            batch.rejected.append(Rejection(index, INVALID_EVENT, str(error), error.field))
        else:
            batch.events.append(event)
            batch.values.append(value)
            batch.places.append(index)
    if not batch.events:
        raise nothing_valid(batch.rejected)
    return batch


def nothing_valid(rejected: Sequence[Rejection]) -> ProblemError:
    """Return the problem of a batch without one valid event."""
    first = rejected[0]
    detail = (
        first.detail if len(rejected) == 1 else f"none of {len(rejected)} events is valid; the first: {first.detail}"
    )
    return ProblemError(422, detail, kind=INVALID_EVENT, rejected=rejected)


def authorise_events(events: Sequence[AnyEvent], principal: Principal) -> None:
    """Raise the 403 problem unless the caller may publish every event.

    A learner publishes for himself, a publisher for anyone; an erasure needs the learner himself or an admin.
    """
    for event in events:
        scope = "admin" if isinstance(event, Erased) else "publisher"
        if not (principal.is_learner(event.user_id) or principal.may(scope)):
            raise forbidden(f"to publish {event.type_name} for this user_id the token needs scope {scope}")
