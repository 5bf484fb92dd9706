"""The topics of the log: names, settings, who owns what. Kafka is the record."""

from dataclasses import dataclass, field
from typing import Final

LEARNER_EVENTS: Final = "learner-events"
ACTIVITY: Final = "activity"
COURSES: Final = "courses"
CONTROL: Final = "control"
DEAD_LETTERS: Final = "dead-letters"

STREAM_GROUP: Final = "coursestream"
"""The consumer group of the workers: it reads `learner-events` and `activity`."""

_DAY_MS: Final = 86_400_000
_FOR_EVER: Final = {"retention.ms": "-1", "cleanup.policy": "delete"}
_90_DAYS: Final = {"retention.ms": str(90 * _DAY_MS), "cleanup.policy": "delete"}

MAX_MESSAGE_BYTES: Final = 1_048_576
"""Larger than `MAX_EVENT_BYTES`: what is too large for us becomes a dead letter, not a refused produce."""


UNCOMPRESSED: Final = "uncompressed"


@dataclass(frozen=True)
class Topic:
    """A topic as it is created: `partitions` 0 means the number of shards."""

    name: str
    partitions: int
    config: dict[str, str] = field(default_factory=dict)

    def settings(self) -> dict[str, str]:
        """Return the broker's settings of the topic.

        All topics carry the broker's append time. The broker stores them uncompressed, whatever codec a producer uses:
        so a batch that inflates beyond `max.message.bytes` is refused, and readers need no codec.
        """
        return {
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": str(MAX_MESSAGE_BYTES),
            "compression.type": UNCOMPRESSED,
            **self.config,
        }


TOPICS: Final = (
    Topic(LEARNER_EVENTS, 0, _FOR_EVER),
    Topic(ACTIVITY, 0, _90_DAYS),
    Topic(COURSES, 1, {"cleanup.policy": "compact"}),
    Topic(CONTROL, 1, _FOR_EVER),
    Topic(DEAD_LETTERS, 1, {**_90_DAYS, "max.message.bytes": str(2 * MAX_MESSAGE_BYTES)}),  # room for the headers
)


@dataclass(frozen=True, order=True)
class Position:
    """A place in the log, as `topic:partition:offset` on the wire.

    >>> Position.parse("learner-events:3:17").offset
    17
    >>> str(Position("activity", 0, 5))
    'activity:0:5'
    """

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}:{self.partition}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Return the position that a text names, or raise ValueError."""
        topic, _, rest = text.partition(":")
        partition, _, offset = rest.partition(":")
        if topic not in (LEARNER_EVENTS, ACTIVITY) or not (partition.isdecimal() and offset.isdecimal()):
            raise ValueError(f"position {text!r} is not TOPIC:PARTITION:OFFSET")
        return cls(topic, int(partition), int(offset))
