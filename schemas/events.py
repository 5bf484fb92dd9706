"""Learners' events: what an app publishes, what the log holds, what the HTTP documentation shows.

One JSON object a record. `type` tells which of the structs below it is. Unknown keys are ignored, so an app
may carry its own; an unknown type or a newer `schema_version` is refused.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Final, Literal

import msgspec
from msgspec import Meta

from schemas.errors import InvalidEventError
from schemas.ids import Id, check_id

SCHEMA_VERSION: Final = 1
MAX_EVENT_BYTES: Final = 65_536
"""A larger record is refused; the worker's fetch size lies above it."""

MAX_CLOCK_SKEW_S: Final = 300
"""An event stamped later than its record's append time plus this is a dead letter."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SCALE: Final = re.compile(r"(-?\d{1,6}(?:\.\d{1,6})?)-(-?\d{1,6}(?:\.\d{1,6})?)")

OccurredAt = (
    Annotated[datetime, Meta(tz=True)]
    | Annotated[int, Meta(ge=0, le=4_102_444_800)]
    | Annotated[float, Meta(ge=0, le=4_102_444_800)]
)
"""When it happened: ISO 8601 with an offset, or unix seconds; 1970 to 2100."""

Text = Annotated[str, Meta(max_length=2_000)]
Words = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=100)], ...], Meta(max_length=50)]
Scale = Annotated[str, Meta(max_length=30, description="Lowest and highest value, such as 1-5 or 0-100.")]


def to_microseconds(moment: datetime | int | float) -> int:
    """Return microseconds since 1970 of an aware datetime or of unix seconds.

    >>> to_microseconds(1.5)
    1500000
    """
    if isinstance(moment, int):
        return moment * 1_000_000
    if isinstance(moment, datetime):
        delta = moment - _EPOCH
        return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
    return round(moment * 1_000_000)


def scale_bounds(scale: str) -> tuple[float, float]:
    """Return the lowest and highest value of a scale such as "1-5".

    >>> scale_bounds("0-100")
    (0.0, 100.0)
    """
    match = _SCALE.fullmatch(scale)
    if match is None:
        raise ValueError(f"scale {scale!r} is not LOW-HIGH, such as 1-5")
    low, high = float(match[1]), float(match[2])
    if low >= high:
        raise ValueError(f"scale {scale!r} does not rise")
    return low, high


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """What every event carries. `event_id`: a UUID; any other string stands for its UUIDv5."""

    event_id: Annotated[str, Meta(min_length=1, max_length=200)]
    user_id: Id
    occurred_at: OccurredAt
    schema_version: Annotated[int, Meta(ge=1, le=SCHEMA_VERSION)] = SCHEMA_VERSION

    type_name: ClassVar[str]

    def __post_init__(self) -> None:
        check_id("user_id", self.user_id)
        if not 0 <= self.occurred_us < 4_102_444_800_000_000:
            raise ValueError("occurred_at lies outside 1970 to 2100")

    @property
    def occurred_us(self) -> int:
        """Microseconds since 1970, UTC."""
        return to_microseconds(self.occurred_at)


class CourseEvent(Event, frozen=True, kw_only=True, tag_field="type"):
    """An event about one course."""

    course_id: Id

    def __post_init__(self) -> None:
        super().__post_init__()
        check_id("course_id", self.course_id)


class Enrolled(CourseEvent, frozen=True, kw_only=True, tag="enrolled"):
    """The learner enrolled in the course."""


class Dropped(CourseEvent, frozen=True, kw_only=True, tag="dropped"):
    """The learner left the course."""


class Progressed(CourseEvent, frozen=True, kw_only=True, tag="progressed"):
    """The learner has done this fraction (0 to 1) of the course."""

    value: Annotated[float, Meta(ge=0, le=1)]


class Completed(CourseEvent, frozen=True, kw_only=True, tag="completed"):
    """The learner finished the course."""


class _Scored(CourseEvent, frozen=True, kw_only=True):
    value: float

    def bounds(self) -> tuple[float, float]:
        raise TypeError("a scored event defines its scale")

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = self.bounds()
        if not low <= self.value <= high:
            raise ValueError(f"value {self.value:g} is off the scale {low:g}-{high:g}")


class Rated(_Scored, frozen=True, kw_only=True, tag="rated"):
    """The learner rated the course, perhaps with a review."""

    scale: Scale = "1-5"
    review: Text | None = None

    def bounds(self) -> tuple[float, float]:
        """Return the lowest and highest possible value."""
        return scale_bounds(self.scale)


class Graded(_Scored, frozen=True, kw_only=True, tag="graded"):
    """The learner was graded in the course."""

    scale: Scale = "0-100"

    def bounds(self) -> tuple[float, float]:
        """Return the lowest and highest possible value."""
        return scale_bounds(self.scale)


FeedbackValue = Literal["not_for_me", "useful", "none"]


class Feedback(CourseEvent, frozen=True, kw_only=True, tag="feedback"):
    """What the learner thinks of the suggestion; "none" takes an earlier word back."""

    value: FeedbackValue


class ProfileUpdated(Event, frozen=True, kw_only=True, tag="profile_updated"):
    """What the learner says of himself; an absent key stays as it was, an empty one is emptied."""

    interests: Words | None = None
    goals: Words | None = None
    languages: Words | None = None
    level: Annotated[str, Meta(max_length=100)] | None = None


class Erased(Event, frozen=True, kw_only=True, tag="erased"):
    """Everything of the learner up to this record's append time plus `MAX_CLOCK_SKEW_S` is deleted."""


class Viewed(CourseEvent, frozen=True, kw_only=True, tag="viewed"):
    """The learner looked at the course."""


class Clicked(CourseEvent, frozen=True, kw_only=True, tag="clicked"):
    """The learner clicked on the course in a list."""


class Shown(CourseEvent, frozen=True, kw_only=True, tag="shown"):
    """The course was shown to the learner in a list."""


class Searched(Event, frozen=True, kw_only=True, tag="searched"):
    """The learner searched for `query`."""

    query: Annotated[str, Meta(min_length=1, max_length=500)]


LearnerEvent = Enrolled | Dropped | Progressed | Completed | Rated | Graded | Feedback | ProfileUpdated | Erased
"""What stands in the topic `learner-events`: hard state, under every guarantee."""

ActivityEvent = Viewed | Clicked | Shown | Searched
"""What stands in the topic `activity`: weak, plentiful signals; soft state."""

AnyEvent = LearnerEvent | ActivityEvent
LEARNER_EVENTS: Final = (
    Enrolled, Dropped, Progressed, Completed, Rated, Graded, Feedback, ProfileUpdated, Erased,
)  # fmt: skip
ACTIVITY_EVENTS: Final = (Viewed, Clicked, Shown, Searched)
EVENT_TYPES: Final = {str(c.__struct_config__.tag): c for c in LEARNER_EVENTS + ACTIVITY_EVENTS}

for _name, _type in EVENT_TYPES.items():
    _type.type_name = _name

_decoder: Final[msgspec.json.Decoder[AnyEvent]] = msgspec.json.Decoder(AnyEvent)
_encoder: Final = msgspec.json.Encoder()
_PATH: Final = re.compile(r" - at `\$\.?(.*)`$")
_MISSING: Final = re.compile(r"missing required field `(\w+)`")


def _invalid(error: msgspec.DecodeError) -> InvalidEventError:
    """Return the error that names the field msgspec complained of."""
    message = str(error)
    missing = _MISSING.search(message)
    if missing:
        return InvalidEventError(missing[1], "is missing")
    path = _PATH.search(message)
    reason = _PATH.sub("", message)
    if path:
        return InvalidEventError(path[1], reason)
    for field in ("user_id", "course_id", "occurred_at", "scale", "value"):
        if reason.startswith(field):
            return InvalidEventError(field, reason.removeprefix(field).strip())
    return InvalidEventError("", reason)


def decode_event(raw: bytes) -> AnyEvent:
    """Return the event that a record's bytes hold, or raise InvalidEventError naming the field.

    >>> decode_event(b'{"type": "progressed", "event_id": "e", "user_id": "u", "course_id": "c",'
    ...              b' "occurred_at": 5, "value": 1.7}')
    Traceback (most recent call last):
        ...
    schemas.errors.InvalidEventError: value: Expected `float` <= 1.0
    """
    if len(raw) > MAX_EVENT_BYTES:
        raise InvalidEventError("", f"the record has {len(raw)} bytes, more than {MAX_EVENT_BYTES}")
    try:
        event: AnyEvent = _decoder.decode(raw)
    except msgspec.DecodeError as error:
        raise _invalid(error) from None
    except RecursionError:
        raise InvalidEventError("", "the JSON is nested too deep") from None
    except UnicodeDecodeError:
        raise InvalidEventError("", "the record is not UTF-8") from None
    return event


def convert_event(body: object) -> AnyEvent:
    """Return the event that parsed JSON holds, or raise InvalidEventError naming the field."""
    return decode_event(_encoder.encode(body))


def encode_event(event: AnyEvent) -> bytes:
    """Return the record's bytes: compact JSON, keys in the order of the struct."""
    return _encoder.encode(event)


def check_append_time(event: AnyEvent, appended_ms: int) -> None:
    """Raise InvalidEventError if the event lies further in the future than clocks may differ."""
    if event.occurred_us > appended_ms * 1_000 + MAX_CLOCK_SKEW_S * 1_000_000:
        raise InvalidEventError("occurred_at", f"is more than {MAX_CLOCK_SKEW_S} s in the future")
