"""Path and query parameters: ids as they were sent, checked like those of events."""

from typing import Annotated, Final, Literal

import msgspec
from fastapi import Path, Query
from pydantic import AfterValidator, BeforeValidator

from schemas.ids import Id, check_id
from schemas.topics import Position

SLASH: Final = "\udc2f"
"""Stands for an escaped slash of an id while the path is routed: no text can hold it."""

MAX_WAIT_MS: Final = 5_000


def restore_slashes(value: str) -> str:
    """Return the id as it was sent."""
    return value.replace(SLASH, "/")


def _checked(value: str) -> str:
    try:
        msgspec.convert(value, Id)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    check_id("the id", value)
    return value


def _positions(value: str) -> str:
    for text in value.split(","):
        Position.parse(text)
    return value


UserId = Annotated[str, BeforeValidator(restore_slashes), AfterValidator(_checked), Path(max_length=255)]
CourseId = Annotated[str, BeforeValidator(restore_slashes), AfterValidator(_checked), Path(max_length=255)]
Limit = Annotated[int, Query(ge=1, le=100, description="How many courses at most.")]
Strategy = Annotated[
    Literal["hybrid", "collaborative", "content", "popular", "trending"],
    Query(description="What the list is sorted by."),
]
Facet = Annotated[str | None, Query(min_length=1, max_length=200, description="Only courses of this value.")]
After = Annotated[
    str | None,
    AfterValidator(lambda value: value if value is None else _positions(value)),
    Query(max_length=5_000, description="Wait until the list includes this position, as an ingest answered it."),
]
WaitMs = Annotated[int, Query(ge=0, description=f"How long to wait for `after`, at most {MAX_WAIT_MS} ms.")]


def positions_of(after: str | None) -> list[Position]:
    """Return the positions that a checked `after` holds.

    >>> positions_of("learner-events:3:17,activity:3:5")[1].offset
    5
    """
    return [Position.parse(text) for text in after.split(",")] if after else []
