"""An edX catalogue without events, with long texts.

File `edx_courses.csv`: the last part of `course_url` is the course's id; `title`; `summary`, `course_description` and
`course_syllabus` ("pending" is none) -> description; `institution` -> instructor; `Level`; `subject` -> category;
`language`; `price_USD` -> price, which is that of the certificate (listening is free); the mean of `course_effort`
("2–4 hours per week") times `course_length` ("7 Weeks") -> minutes; `n_enrolled` -> subscribers, to be shown only.
"""

import re
from pathlib import Path
from typing import Final

from datasets import clean
from datasets.collector import Collector
from datasets.dataset import Dataset, Finding
from datasets.files import csv_rows

LAYOUT: Final = "edx"
LOOKED_FOR: Final = "edx_courses.csv"

_EFFORT: Final = re.compile(r"(\d+)(?:[–-](\d+))? hours? per week[^\d]*(\d+) weeks?", re.IGNORECASE)
_PENDING: Final = "pending"


def found(folder: Path) -> bool:
    """Return whether a folder has this layout."""
    return (folder / LOOKED_FOR).is_file()


def read(folder: Path) -> Dataset:
    """Read a folder with an edX catalogue."""
    collector = Collector(LAYOUT)
    for place, row in csv_rows(folder / LOOKED_FOR, collector.reject):
        collector.add_course(place, _course(row, collector))
    return collector.dataset()


def _course(row: dict[str, str], collector: Collector) -> dict[str, object]:
    url = row.get("course_url", "").strip()
    texts = (row.get(name, "").strip() for name in ("summary", "course_description", "course_syllabus"))
    effort = f"{row.get('course_effort', '')} {row.get('course_length', '')}".strip()
    return {
        "course_id": url.rstrip("/").rpartition("/")[2],
        "title": clean.one_line(row.get("title", "")),
        "description": "\n\n".join(text for text in texts if text and text != _PENDING),
        "instructor": row.get("institution"),
        "level": collector.parsed(Finding.UNKNOWN_LEVELS, clean.level, row.get("Level")),
        "category": clean.one_line(row.get("subject", "")),
        "language": row.get("language"),
        "price": collector.parsed(Finding.UNPARSABLE_PRICES, clean.price, row.get("price_USD")),
        "duration_minutes": collector.parsed(Finding.UNPARSABLE_DURATIONS, total_minutes, effort),
        "url": url,
        "num_subscribers": collector.parsed(Finding.UNPARSABLE_COUNTS, clean.count, row.get("n_enrolled")),
    }


def total_minutes(effort: object) -> float:
    """Return the minutes that weeks of so many hours come to.

    >>> total_minutes("2–4 hours per week 7 Weeks"), total_minutes("3 hours per week 1 Weeks")
    (1260.0, 180.0)
    """
    match = _EFFORT.fullmatch(str(effort))
    if match is None:
        raise ValueError(f"{effort!r} names no hours per week and weeks")
    least, most, weeks = int(match[1]), int(match[2] or match[1]), int(match[3])
    return clean.minutes((least + most) / 2 * 60 * weeks)
