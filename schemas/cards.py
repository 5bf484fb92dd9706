"""What a card shows of a course: written to Redis by the stream, so that readers need no catalogue of their own."""

from typing import Any, Final

import msgspec

from schemas.courses import Course

MAX_DESCRIPTION: Final = 600
"""Characters of a description that a card holds: what a page shows of it, while a reader keeps all cards in memory."""


class Summary(msgspec.Struct, frozen=True, omit_defaults=True):
    """The part of a course that lists show and filters need."""

    course_id: str
    title: str = ""
    category: str = ""
    instructor: str = ""
    language: str = ""
    level: str = ""
    price: float | None = None
    duration_minutes: float | None = None
    url: str = ""
    prerequisites: tuple[str, ...] = ()
    num_subscribers: int | None = None
    num_reviews: int | None = None
    retired: bool = False
    description: str = ""


class Card(Summary, frozen=True, omit_defaults=True):
    """A summary, and the sketch of the course's text that tells how much two courses are alike; may be empty."""

    sketch: bytes = b""

    @property
    def shown(self) -> dict[str, Any]:
        """Return what may be shown: the summary's fields by name."""
        return {name: getattr(self, name) for name in Summary.__struct_fields__}


_decoder: Final = msgspec.json.Decoder(Card)


def card_of(course: Course, sketch: bytes = b"") -> Card:
    """Return the card of a course; a course without a title shows its id, a long description its beginning.

    >>> len(card_of(Course(course_id="c", description="long " * 200)).description)
    600
    """
    values = {name: getattr(course, name) for name in Summary.__struct_fields__}
    description = course.description
    if len(description) > MAX_DESCRIPTION:
        description = description[: MAX_DESCRIPTION - 1] + "…"
    shown = {**values, "title": course.title or course.course_id, "description": description}
    return Card(**shown, sketch=sketch)


def pack_card(card: Card) -> bytes:
    """Return the card as compact JSON; the sketch is base64."""
    return msgspec.json.encode(card)


def unpack_card(packed: bytes) -> Card:
    """Return the card that was packed."""
    return _decoder.decode(packed)
