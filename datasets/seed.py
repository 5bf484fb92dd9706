"""The CSV layout that course apps already have: a Udemy catalogue and a table of learners' interactions.

Files, the last one optional:

- `udemy_course_data.csv`: `course_id`; `course_title` -> title; `url`; `price` (a number or `Free`); `level`;
  `content_duration` ("1.5 hours", "35 mins") -> minutes; `published_timestamp`; `subject` -> category;
  `num_subscribers` and `num_reviews`, to be shown only. A price above 0 with `is_paid` FALSE contradicts itself and is
  left out. A quote that is never closed made some titles swallow the next row: both courses are read.
- `user_course_interactions.csv`: `user_id, course_id, rating` (1-5), `enrollment_status` (Yes, No), `completion_status`
  (Not Started, In Progress, Completed), `timestamp` (a day, UTC). Yes is `enrolled`; In Progress is `progressed` 0.5,
  Completed is `completed`; a rating is `rated`. No is no enrolment: where such a row also claims progress, its rating
  alone is kept and the contradiction is counted.
- `users.csv`: `user_id` and any of `interests`, `preferred_categories`, `goals`, `languages`, `language`, `level`;
  lists are JSON arrays or separated by `|`, `;` or `,`.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from datasets import clean
from datasets.collector import Collector
from datasets.dataset import Dataset, Finding, Place
from datasets.files import csv_rows, find_file

LAYOUT: Final = "seed"
LOOKED_FOR: Final = "udemy_course_data.csv with user_course_interactions.csv"

_COURSES: Final = "udemy_course_data"
_INTERACTIONS: Final = "user_course_interactions"
_ENDINGS: Final = (".csv",)
_SWALLOWED: Final = re.compile(
    r'(?P<title>[^"]*)",(?P<columns>[^\n]*)\n(?P<course_id>\d+),(?P<next_title>.*)', re.DOTALL
)
_SWALLOWED_COLUMNS: Final = (
    "url", "is_paid", "price", "num_subscribers", "num_reviews", "num_lectures", "level", "content_duration",
    "published_timestamp",
)  # fmt: skip
_ENROLLED: Final = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False, "": False}
_PROGRESS: Final = {"": 0.0, "not started": 0.0, "in progress": 0.5, "completed": 1.0}
_SCALE: Final = "1-5"


def found(folder: Path) -> bool:
    """Return whether a folder has this layout."""
    return all(find_file(folder, stem, _ENDINGS) for stem in (_COURSES, _INTERACTIONS))


def read(folder: Path) -> Dataset:
    """Read a folder of the seed layout."""
    collector = Collector(LAYOUT)
    for place, row in _rows(folder, _COURSES, collector):
        for part in _unswallowed(row, collector):
            add_course(place, part, {}, collector)
    for place, row in _rows(folder, "users", collector):
        collector.add_learner(place, row.get("user_id"), _profile(row, collector))
    for place, row in _rows(folder, _INTERACTIONS, collector):
        _add_interaction(place, row, collector)
    return collector.dataset()


def _rows(folder: Path, stem: str, collector: Collector) -> Iterator[tuple[Place, dict[str, str]]]:
    path = find_file(folder, stem, _ENDINGS)
    return csv_rows(path, collector.reject) if path else iter(())


def _unswallowed(row: dict[str, str], collector: Collector) -> list[dict[str, str]]:
    """Return the row, or the two rows it is if its title swallowed the next one up to that one's title."""
    match = _SWALLOWED.fullmatch(row.get("course_title", ""))
    values = match["columns"].split(",") if match else []
    if match is None or len(values) != len(_SWALLOWED_COLUMNS):
        return [row]
    collector.count(Finding.REPAIRED_TITLES)
    own = dict(zip(_SWALLOWED_COLUMNS, values, strict=True))
    own |= {"course_id": row.get("course_id", ""), "course_title": match["title"], "subject": row.get("subject", "")}
    return [own, {**row, "course_id": match["course_id"], "course_title": match["next_title"]}]


def _title(text: str) -> str:
    """Return a title on one line, without the quote that a broken export left at its end."""
    text = clean.one_line(text)
    return text.removesuffix('"').rstrip() if text.count('"') % 2 else text


def add_course(place: Place, row: dict[str, str], known: Mapping[str, object], collector: Collector) -> None:
    """Add the course of a row; `known` are fields for what the row does not say."""
    level = collector.parsed(Finding.UNKNOWN_LEVELS, clean.level, row.get("level"))
    published_at = collector.parsed(Finding.UNPARSABLE_DATES, clean.moment, row.get("published_timestamp"))
    if row.get("level") and row.get("published_timestamp") and level is None and published_at is None:
        collector.reject(place, "columns are shifted: neither the level nor the publishing date is one")
        return
    fields = {
        "course_id": row.get("course_id", "").strip(),
        "title": _title(row.get("course_title", "")),
        "url": row.get("url"),
        "price": _price(row, collector),
        "level": level,
        "duration_minutes": collector.parsed(Finding.UNPARSABLE_DURATIONS, clean.duration, row.get("content_duration")),
        "published_at": published_at,
        "category": clean.one_line(row.get("subject", "")),
        "num_subscribers": collector.parsed(Finding.UNPARSABLE_COUNTS, clean.count, row.get("num_subscribers")),
        "num_reviews": collector.parsed(Finding.UNPARSABLE_COUNTS, clean.count, row.get("num_reviews")),
    }
    collector.add_course(place, {**known, **{name: value for name, value in fields.items() if value not in (None, "")}})


def _price(row: dict[str, str], collector: Collector) -> float | None:
    price = collector.parsed(Finding.UNPARSABLE_PRICES, clean.price, row.get("price"))
    if price and row.get("is_paid", "").strip().lower() == "false":
        collector.count(Finding.CONTRADICTIONS)
        return None
    return price


def _profile(row: dict[str, str], collector: Collector) -> dict[str, object]:
    def words(*columns: str) -> tuple[str, ...]:
        found = [collector.parsed(Finding.UNPARSABLE_LISTS, _labels, row.get(column)) or () for column in columns]
        return tuple(dict.fromkeys(word for labels in found for word in labels))

    return {
        "interests": words("interests", "preferred_categories"),
        "goals": words("goals"),
        "languages": words("languages", "language"),
        "level": collector.parsed(Finding.UNKNOWN_LEVELS, clean.level, row.get("level")),
    }


def _labels(text: object) -> tuple[str, ...]:
    value = str(text).strip()
    separator = next((mark for mark in "|;," if mark in value), "|")
    return clean.labels(value, separator)


def _add_interaction(place: Place, row: dict[str, str], collector: Collector) -> None:
    """Add the events a row stands for: enrolment and progress, then the rating."""
    status, completion = (row.get(name, "").strip().lower() for name in ("enrollment_status", "completion_status"))
    try:
        enrolled, progress = _ENROLLED[status], _PROGRESS[completion]
        moment = clean.moment(row.get("timestamp", ""))
    except KeyError as error:
        collector.reject(place, f"enrollment_status or completion_status: {error} is unknown")
        return
    except ValueError as error:
        collector.reject(place, f"timestamp: {error}", Finding.UNPARSABLE_DATES)
        return
    who = (row.get("user_id", "").strip(), row.get("course_id", "").strip())
    if enrolled:
        collector.add(place, "enrolled", *who, moment)
        if progress == 1:
            collector.add(place, "completed", *who, moment)
        elif progress:
            collector.add(place, "progressed", *who, moment, value=progress)
    elif progress:
        collector.count(Finding.CONTRADICTIONS)
    _add_rating(place, row, who, moment, collector)


def _add_rating(
    place: Place, row: dict[str, str], who: tuple[str, str], moment: datetime, collector: Collector
) -> None:
    text = row.get("rating", "").strip()
    if not text:
        return
    try:
        rating = clean.number(text)
    except ValueError as error:
        collector.reject(place, f"rating: {error}")
        return
    collector.add(place, "rated", *who, moment, value=rating, scale=_SCALE)
