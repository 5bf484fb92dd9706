"""Identifiers as they come from outside: learners', courses' and events'."""

import re
import uuid
from typing import Annotated, Final

import msgspec

MAX_ID_BYTES: Final = 255
"""Longest UTF-8 form of an id: packed values hold its length in one byte."""

Id = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=MAX_ID_BYTES,
        pattern=r"\A[^\x00-\x1f\x7f]+\Z",
        description="An external identifier: 1 to 255 bytes of UTF-8 without control characters.",
    ),
]
"""A learner's or a course's external identifier."""

EVENT_NAMESPACE: Final = uuid.UUID("6f2c1a0e-8f0b-5d5c-9a53-0c6f7d1f2b11")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_MOST_BYTES_A_CHARACTER: Final = 4


def check_id(field: str, value: str) -> None:
    """Raise ValueError if an id is longer than `MAX_ID_BYTES` in UTF-8."""
    if len(value) * _MOST_BYTES_A_CHARACTER > MAX_ID_BYTES and len(value.encode()) > MAX_ID_BYTES:
        raise ValueError(f"{field} is longer than {MAX_ID_BYTES} bytes of UTF-8")


def event_uuid(event_id: str) -> bytes:
    """Return the 16 bytes of an event id: itself if it is a UUID, else its UUIDv5.

    >>> event_uuid("00000000-0000-0000-0000-0000000000ff").hex()
    '000000000000000000000000000000ff'
    >>> event_uuid("order 17") == event_uuid("order 17") != event_uuid("order 18")
    True
    """
    if _UUID.fullmatch(event_id):
        return bytes.fromhex(event_id.replace("-", ""))
    return uuid.uuid5(EVENT_NAMESPACE, event_id).bytes
