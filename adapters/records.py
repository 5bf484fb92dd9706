"""Whether a record of the log is good: decided by it and its metadata alone, so every replay decides the same."""

import logging
from collections.abc import Sequence
from typing import Final, Protocol

from adapters.kafka import shard_of
from schemas.errors import InvalidEventError
from schemas.events import ACTIVITY_EVENTS, LEARNER_EVENTS, AnyEvent, check_append_time, decode_event
from schemas.topics import ACTIVITY
from schemas.topics import LEARNER_EVENTS as LEARNER_EVENTS_TOPIC

logger: Final = logging.getLogger(__name__)

_TYPES: Final = {LEARNER_EVENTS_TOPIC: LEARNER_EVENTS, ACTIVITY: ACTIVITY_EVENTS}


class Record(Protocol):
    """A record as aiokafka reads it, whoever read it."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int:
        """Append time, ms."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]: ...


def read_event(record: Record, partitions: int, quarantined: frozenset[tuple[str, int, int]]) -> AnyEvent:
    """Return the event of a record, or raise InvalidEventError saying why it is a dead letter."""
    if quarantined and (record.topic, record.partition, record.offset) in quarantined:
        raise InvalidEventError("", "quarantined")
    if record.value is None:
        raise InvalidEventError("", "the record has no value")
    event = decode_event(record.value)
    if not isinstance(event, _TYPES[record.topic]):
        raise InvalidEventError("type", f"{event.type_name} does not belong in topic {record.topic}")
    check_append_time(event, record.timestamp)
    if shard_of(event.user_id, partitions) != record.partition:
        raise InvalidEventError("user_id", f"belongs in another partition than {record.partition}: key by user_id")
    return event


def event_or_none(record: Record, partitions: int, quarantined: frozenset[tuple[str, int, int]]) -> AnyEvent | None:
    """Return the event of a record; None if it is a dead letter, or breaks the code (workers alone decide on that)."""
    try:
        return read_event(record, partitions, quarantined)
    except InvalidEventError:
        return None
    except Exception:
        place = f"{record.topic}:{record.partition}:{record.offset}"
        logger.exception("ALARM: %s breaks the code and is left out", place)
        return None
