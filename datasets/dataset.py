"""What a reader returns: courses, learners and events in time order, what was refused and what was cleaned."""

import csv
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from schemas.courses import Course
from schemas.events import AnyEvent, ProfileUpdated

_LIFE: Final = (
    "profile_updated", "searched", "shown", "clicked", "viewed", "enrolled", "progressed", "completed", "rated",
    "graded", "feedback", "dropped", "erased",
)  # fmt: skip
CAUSAL_ORDER: Final = {name: order for order, name in enumerate(_LIFE)}
"""How events of the same moment are ordered: what comes first in a learner's life stands first."""


class Finding(StrEnum):
    """What cleaning reports: the keys of `Dataset.report`."""

    UNREADABLE_ROWS = "unreadable rows"
    DUPLICATE_COURSES = "duplicate courses"
    DUPLICATE_LEARNERS = "duplicate learners"
    DUPLICATE_EVENTS = "duplicate events"
    CONTRADICTIONS = "contradictions"
    MISSING_TITLES = "missing titles"
    REPAIRED_TITLES = "repaired titles"
    SHORTENED_TEXTS = "shortened texts"
    UNPARSABLE_PRICES = "unparsable prices"
    UNPARSABLE_DATES = "unparsable dates"
    UNPARSABLE_DURATIONS = "unparsable durations"
    UNPARSABLE_COUNTS = "unparsable counts"
    UNPARSABLE_LISTS = "unparsable lists"
    UNKNOWN_LEVELS = "unknown levels"
    OUTLIERS = "outliers"
    OFF_SCALE = "ratings off the scale"
    UNKNOWN_COURSES = "events of unknown courses"
    CARRIED_OVER = "grades carried over"


class Place(NamedTuple):
    """Where a row begins: the file's name and the line, counted from 1."""

    file: str
    line: int


class Reject(NamedTuple):
    """A row, or a part of one, that was not taken."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True)
class Dataset:
    """A folder as read. `events` are sorted by time, causal order and event id; equal input gives equal output.

    `learners` are profiles, stamped with the learner's first event, or with the data set's first if he has none.
    `report` counts findings by `Finding`; what was not found is absent.
    """

    layout: str
    courses: list[Course]
    learners: list[ProfileUpdated]
    events: list[AnyEvent]
    rejects: list[Reject] = field(default_factory=list)
    report: dict[str, int] = field(default_factory=dict)

    @property
    def num_learners(self) -> int:
        """Learners with a profile or an event."""
        return len({event.user_id for event in self.learners} | {event.user_id for event in self.events})

    def timeline(self) -> list[AnyEvent]:
        """Return profiles and events as one sequence in time order: what an import publishes."""
        return sorted([*self.learners, *self.events], key=sort_key)


def sort_key(event: AnyEvent) -> tuple[int, int, str]:
    """Return what events are sorted by: moment, causal order, event id."""
    return event.occurred_us, CAUSAL_ORDER[event.type_name], event.event_id


def write_rejects(dataset: Dataset, path: Path) -> int:
    """Write the rejects as CSV (file, line, reason) and return how many there are."""
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(Reject._fields)
        writer.writerows(dataset.rejects)
    return len(dataset.rejects)
