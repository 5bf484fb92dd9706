"""What every reader fills: rows in, each checked against the contracts, counted, and kept or rejected."""

import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

import msgspec

from datasets.clean import OutlierError
from datasets.dataset import Dataset, Finding, Place, Reject, sort_key
from schemas.courses import Course, decode_course
from schemas.errors import InvalidEventError
from schemas.events import AnyEvent, CourseEvent, ProfileUpdated, decode_event
from schemas.ids import EVENT_NAMESPACE

T = TypeVar("T")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST: Final = {
    "title": 1_000, "description": 20_000, "category": 200, "instructor": 500, "language": 100, "level": 100,
    "url": 2_000,
}  # fmt: skip
_MAX_WORDS: Final = 50
_LONGEST_WORD: Final = 100
_LONGEST_LEVEL: Final = 100


def content_id(*parts: str) -> str:
    """Return the event id that these parts stand for: the same on every reading, so an import may be repeated.

    >>> content_id("mars", "viewed", "u1", "c1", "2020") == content_id("mars", "viewed", "u1", "c1", "2020")
    True
    >>> content_id("a", "bc") == content_id("ab", "c")
    False
    """
    return str(uuid.uuid5(EVENT_NAMESPACE, "\x1f".join(parts)))


def _checked(body: dict[str, object]) -> AnyEvent:
    """Return the event of these fields, checked as the log checks it; decoding is faster than converting."""
    return decode_event(msgspec.json.encode(body))


class Collector:
    """Collects a folder's courses, learners and events, its rejects and its findings."""

    def __init__(self, layout: str) -> None:
        self.layout = layout
        self._courses: dict[str, Course] = {}
        self._profiles: dict[str, dict[str, object]] = {}
        self._events: dict[str, AnyEvent] = {}
        self._namesakes: dict[AnyEvent, None] = {}
        self._rejects: list[Reject] = []
        self._report: Counter[str] = Counter()

    def count(self, finding: Finding, times: int = 1) -> None:
        """Add to the report."""
        self._report[finding] += times

    def reject(self, place: Place, reason: str, finding: Finding = Finding.UNREADABLE_ROWS) -> None:
        """Refuse a row, or a part of it."""
        self._rejects.append(Reject(place.file, place.line, reason))
        self.count(finding)

    def reject_event(self, place: Place, body: dict[str, object], error: InvalidEventError) -> None:
        """Refuse an event for what is wrong with one of its fields."""
        finding = Finding.UNREADABLE_ROWS
        if error.field == "occurred_at":
            finding = Finding.UNPARSABLE_DATES
        elif error.field == "value" and body.get("type") in ("rated", "graded"):
            finding = Finding.OFF_SCALE
        self.reject(place, str(error), finding)

    def parsed(self, finding: Finding, parse: Callable[[object], T], text: object) -> T | None:
        """Return what the text says; None if it is empty, or if it cannot be read, which is counted."""
        if text is None or not str(text).strip():
            return None
        try:
            return parse(text)
        except OutlierError:
            self.count(Finding.OUTLIERS)
        except ValueError:
            self.count(finding)
        return None

    def add_course(self, place: Place, body: dict[str, object]) -> None:
        """Take a course; absent and None fields are unknown. Of several with one id the last counts."""
        fields = {name: self._shortened(name, value) for name, value in body.items() if value is not None}
        try:
            course = decode_course(msgspec.json.encode(fields))
        except InvalidEventError as error:
            self.reject(place, str(error))
            return
        if not course.title:
            self.count(Finding.MISSING_TITLES)
        known = self._courses.get(course.course_id)
        if known is not None:
            self.count(Finding.DUPLICATE_COURSES if known == course else Finding.CONTRADICTIONS)
        self._courses[course.course_id] = course

    def add_learner(self, place: Place, user_id: object, fields: dict[str, object]) -> None:
        """Take a learner's profile; one that says nothing is none. Of several of one learner the last counts."""
        said = {name: _words(value) for name, value in fields.items() if value}
        if not said:
            return
        body = {"type": "profile_updated", "event_id": "-", "user_id": user_id, "occurred_at": 0}
        try:
            learner = _checked({**body, **said}).user_id
        except InvalidEventError as error:
            self.reject(place, str(error))
            return
        known = self._profiles.get(learner)
        if known is not None:
            self.count(Finding.DUPLICATE_LEARNERS if known == said else Finding.CONTRADICTIONS)
        self._profiles[learner] = said

    def add(
        self, place: Place, kind: str, user_id: str, course_id: str, occurred_at: datetime | int | str, **more: object
    ) -> None:
        """Take an event that has no id of its own: its id is derived from everything it says."""
        parts = (self.layout, kind, user_id, course_id, str(occurred_at), *map(str, more.values()))
        body = {"type": kind, "user_id": user_id, "course_id": course_id, "occurred_at": occurred_at, **more}
        self.add_event(place, {**body, "event_id": content_id(*parts)})

    def add_event(self, place: Place, body: dict[str, object]) -> None:
        """Take an event; an equal one is a duplicate, another one of the same id is kept and counted."""
        try:
            event = _checked(body)
        except InvalidEventError as error:
            self.reject_event(place, body, error)
            return
        known = self._events.setdefault(event.event_id, event)
        if known is event:
            return
        if event == known or event in self._namesakes:
            self.count(Finding.DUPLICATE_EVENTS)
        else:
            self.count(Finding.CONTRADICTIONS)
            self._namesakes[event] = None

    def dataset(self) -> Dataset:
        """Return everything collected, in order."""
        events = sorted([*self._events.values(), *self._namesakes], key=sort_key)
        unknown = sum(isinstance(event, CourseEvent) and event.course_id not in self._courses for event in events)
        self.count(Finding.UNKNOWN_COURSES, unknown)
        return Dataset(
            layout=self.layout,
            courses=list(self._courses.values()),
            learners=self._learners(events),
            events=events,
            rejects=self._rejects,
            report={str(finding): times for finding, times in sorted(self._report.items()) if times},
        )

    def _shortened(self, name: str, value: object) -> object:
        limit = _LONGEST.get(name)
        if limit is None or not isinstance(value, str) or len(value.strip()) <= limit:
            return value.strip() if isinstance(value, str) else value
        self.count(Finding.SHORTENED_TEXTS)
        return value.strip()[:limit]

    def _learners(self, events: list[AnyEvent]) -> list[ProfileUpdated]:
        first = _first_moments(events)
        earliest = events[0].occurred_us if events else 0
        learners = []
        for user_id, said in self._profiles.items():
            content = msgspec.json.encode(said, order="deterministic").decode()
            occurred_us = first.get(user_id, earliest)
            body = {
                "type": "profile_updated",
                "event_id": content_id(self.layout, "profile_updated", user_id, str(occurred_us), content),
                "user_id": user_id,
                "occurred_at": _EPOCH + timedelta(microseconds=occurred_us),
            }
            event = _checked({**body, **said})
            if isinstance(event, ProfileUpdated):
                learners.append(event)
        return sorted(learners, key=sort_key)


def _first_moments(events: Iterable[AnyEvent]) -> dict[str, int]:
    first: dict[str, int] = {}
    for event in events:
        first.setdefault(event.user_id, event.occurred_us)
    return first


def _words(value: object) -> object:
    if isinstance(value, str):
        return value.strip()[:_LONGEST_LEVEL]
    if isinstance(value, tuple):
        return tuple(str(word)[:_LONGEST_WORD] for word in value[:_MAX_WORDS])
    return value
