"""A course of the catalogue: what the topic `courses` holds (the last record of a course counts)."""

import re
from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from schemas.errors import InvalidEventError
from schemas.ids import Id, check_id

Labels = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=200)], ...], Meta(max_length=100)]
_PATH: Final = re.compile(r" - at `\$\.?(.*)`$")


class Course(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A course. `num_subscribers` and `num_reviews` may be shown, never used as features: they know the future."""

    course_id: Id
    title: Annotated[str, Meta(max_length=1_000)] = ""
    description: Annotated[str, Meta(max_length=20_000)] = ""
    category: Annotated[str, Meta(max_length=200)] = ""
    instructor: Annotated[str, Meta(max_length=500)] = ""
    language: Annotated[str, Meta(max_length=100)] = ""
    level: Annotated[str, Meta(max_length=100)] = ""
    tags: Labels = ()
    skills: Labels = ()
    price: Annotated[float, Meta(ge=0)] | None = None
    duration_minutes: Annotated[float, Meta(ge=0)] | None = None
    published_at: Annotated[datetime, Meta(tz=True)] | None = None
    url: Annotated[str, Meta(max_length=2_000)] = ""
    prerequisites: Annotated[tuple[Id, ...], Meta(max_length=100)] = ()
    num_subscribers: Annotated[int, Meta(ge=0)] | None = None
    num_reviews: Annotated[int, Meta(ge=0)] | None = None
    retired: bool = False

    def __post_init__(self) -> None:
        check_id("course_id", self.course_id)


_decoder: Final = msgspec.json.Decoder(Course)


def decode_course(raw: bytes) -> Course:
    """Return the course a record's bytes hold, or raise InvalidEventError naming the field."""
    try:
        return _decoder.decode(raw)
    except msgspec.DecodeError as error:
        path = _PATH.search(str(error))
        raise InvalidEventError(path[1] if path else "", _PATH.sub("", str(error))) from None
    except RecursionError:
        raise InvalidEventError("", "the JSON is nested too deep") from None
    except UnicodeDecodeError:
        raise InvalidEventError("", "the record is not UTF-8") from None


def encode_course(course: Course) -> bytes:
    """Return the record's bytes: compact JSON without the fields that are unknown."""
    return msgspec.json.encode(course)
