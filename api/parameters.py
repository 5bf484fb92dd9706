"""Path and query parameters: ids as they were sent, checked like those of events."""

from typing import Annotated, Final, Literal

import msgspec
from fastapi import Path
from fastapi import Query as Parameter
from pydantic import AfterValidator, BeforeValidator

from api.lists import Query
from recommender.resort import Filters
from schemas.ids import Id, check_id
from schemas.topics import Position

SLASH: Final = "\udc2f"
"""Stands for an escaped slash of an id while the path is routed: no text can hold it."""

DEFAULT_WAIT_MS: Final = 1_000
MAX_WAIT_MS: Final = 5_000
DEFAULT_LIMIT: Final = 10
MOST_ITEMS: Final = 100


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
Limit = Annotated[int, Parameter(ge=1, le=MOST_ITEMS, description="How many courses at most.")]
SortedBy = Annotated[
    Literal["hybrid", "collaborative", "content", "popular", "trending", "grades"] | None,
    Parameter(
        description="What it is sorted by, `grades`: by predicted grade; else as an experiment has it, or `hybrid`."
    ),
]
Facet = Annotated[str | None, Parameter(min_length=1, max_length=200, description="Only courses of this value.")]
Prerequisites = Annotated[
    Literal["any", "met"],
    Parameter(description="`met`: only courses all of whose prerequisites the learner has completed."),
]
Diversity = Annotated[
    float,
    Parameter(ge=0, le=1, description="0: best first; 1: as unlike each other as can be."),
]
Explore = Annotated[bool, Parameter(description="Whether a few places may go to new courses.")]
After = Annotated[
    str | None,
    AfterValidator(lambda value: value if value is None else _positions(value)),
    Parameter(max_length=5_000, description="Wait until the list includes this position, as an ingest answered it."),
]
WaitMs = Annotated[int, Parameter(ge=0, description=f"How long to wait for `after`, at most {MAX_WAIT_MS} ms.")]


async def filters_of(language: Facet = None, level: Facet = None, category: Facet = None) -> Filters:
    """Return which courses a request asks for."""
    return Filters(language or "", level or "", category or "")


async def query_of(
    limit: Limit = DEFAULT_LIMIT,
    strategy: SortedBy = None,
    language: Facet = None,
    level: Facet = None,
    category: Facet = None,
    prerequisites: Prerequisites = "any",
    diversity: Diversity = 0.0,
    explore: Explore = True,
) -> Query:
    """Return what a request for a learner's list asks for."""
    filters = await filters_of(language, level, category)
    return Query(limit, filters, strategy or "", prerequisites == "met", diversity, explore)


def positions_of(after: str | None) -> list[Position]:
    """Return the positions that a checked `after` holds.

    >>> positions_of("learner-events:3:17,activity:3:5")[1].offset
    5
    """
    return [Position.parse(text) for text in after.split(",")] if after else []
