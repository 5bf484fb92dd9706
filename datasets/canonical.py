"""The canonical folder: what `import`, `evaluate` and `export` share.

Files, each `.jsonl` or `.csv`, each optionally `.gz`:

- `events` (the folder is canonical if it has this file): `user_id, course_id, type, occurred_at` (ISO 8601 with an
  offset, or unix seconds); `value` (fraction, rating, grade, feedback), `scale`, `review`, `query`, and the profile's
  fields where the type has them. Without `event_id` the id is derived from the content.
- `courses`, optional: the fields of `schemas.courses.Course`.
- `learners`, optional: `user_id`, `interests`, `goals`, `languages`, `level`.

Lists are JSON arrays, or in CSV also separated by `|`. An empty cell of a CSV file is an absent field. A naive time
rejects its row. A price, date, duration or count that cannot be read is left out, and counted; the course is kept.
"""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from datasets import clean
from datasets.collector import Collector, content_id
from datasets.dataset import Dataset, Finding, Place
from datasets.files import csv_rows, find_file, json_rows
from schemas.errors import InvalidEventError
from schemas.events import decode_event

LAYOUT: Final = "canonical"
LOOKED_FOR: Final = "events.jsonl or events.csv (or .gz)"

_ENDINGS: Final = (".jsonl", ".csv")
_WITH_NUMBER: Final = ("progressed", "rated", "graded")
_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?")
_WORDS: Final = ("interests", "goals", "languages")
_TEXTS: Final = ("course_id", "title", "description", "category", "instructor", "language", "level", "url")
_PARSED: Final[dict[str, tuple[Finding, Callable[[object], object]]]] = {
    "price": (Finding.UNPARSABLE_PRICES, clean.price),
    "duration_minutes": (Finding.UNPARSABLE_DURATIONS, clean.minutes),
    "published_at": (Finding.UNPARSABLE_DATES, clean.moment),
    "num_subscribers": (Finding.UNPARSABLE_COUNTS, clean.count),
    "num_reviews": (Finding.UNPARSABLE_COUNTS, clean.count),
    "tags": (Finding.UNPARSABLE_LISTS, clean.labels),
    "skills": (Finding.UNPARSABLE_LISTS, clean.labels),
    "prerequisites": (Finding.UNPARSABLE_LISTS, clean.labels),
}

Rows = Iterator[tuple[Place, dict[str, object]]]


def _occurred_at(text: str) -> int | float | datetime:
    if _NUMBER.fullmatch(text):
        return float(text) if "." in text else int(text)
    return datetime.fromisoformat(text)


_EVENT_FIELDS: Final[dict[str, Callable[[str], object]]] = {
    "occurred_at": _occurred_at,
    "value": clean.number,
    "schema_version": int,
    **dict.fromkeys(_WORDS, clean.labels),
}


def found(folder: Path) -> bool:
    """Return whether a folder has this layout."""
    return find_file(folder, "events", _ENDINGS) is not None


def read(folder: Path) -> Dataset:
    """Read a canonical folder."""
    collector = Collector(LAYOUT)
    for place, row in _rows(folder, "courses", collector):
        collector.add_course(place, _course(row, collector))
    for place, row in _rows(folder, "learners", collector):
        collector.add_learner(place, row.get("user_id"), _profile(row, collector))
    for place, row in _rows(folder, "events", collector):
        try:
            body = _event(row)
        except InvalidEventError as error:
            collector.reject_event(place, row, error)
        else:
            collector.add_event(place, body)
    return collector.dataset()


def _rows(folder: Path, stem: str, collector: Collector) -> Rows:
    """Yield the rows of a file; empty cells of CSV are left out, empty strings of JSON are meant."""
    path = find_file(folder, stem, _ENDINGS)
    if path is None:
        return
    if ".jsonl" in path.suffixes:
        yield from json_rows(path, collector.reject)
        return
    for place, row in csv_rows(path, collector.reject):
        yield place, {name: value for name, value in row.items() if value}


def _course(row: dict[str, object], collector: Collector) -> dict[str, object]:
    body = {name: row.get(name) for name in _TEXTS}
    for name, (finding, parse) in _PARSED.items():
        body[name] = collector.parsed(finding, parse, row.get(name))
    body["retired"] = str(row.get("retired", "")).lower() in ("true", "1", "yes")
    return body


def _profile(row: dict[str, object], collector: Collector) -> dict[str, object]:
    lists = {name: collector.parsed(Finding.UNPARSABLE_LISTS, clean.labels, row.get(name)) for name in _WORDS}
    return {**lists, "level": row.get("level")}


def _event(row: dict[str, object]) -> dict[str, object]:
    """Return an event's body: what a CSV file gave as text parsed, an id where there was none."""
    body = dict(row)
    for name, parse in _EVENT_FIELDS.items():
        if isinstance(row.get(name), str) and not (name == "value" and row.get("type") not in _WITH_NUMBER):
            try:
                body[name] = parse(str(row[name]))
            except ValueError as error:
                raise InvalidEventError(name, str(error)) from None
    if body.get("event_id") is None:
        body["event_id"] = _content_id(body)
    return body


def _content_id(body: dict[str, object]) -> str:
    """Return the id that an event's content stands for, however the file writes it."""
    event = decode_event(msgspec.json.encode({**body, "event_id": "-"}))
    fields = {**msgspec.to_builtins(event), "occurred_at": event.occurred_us}
    return content_id(LAYOUT, msgspec.json.encode(fields, order="sorted").decode())
