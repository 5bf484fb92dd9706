"""COCO: enrolments of Udemy learners to the second, with categories, audiences and concepts of the courses.

Files, each optionally `.gz`:

- `courses.csv`: `course_id`; `slug` -> title (dashes become blanks); the first of `category` -> category, further
  ones -> tags; `audience` -> tags; `concept` -> skills; `language`; `level`. `|` separates values.
- `enrollments.csv`: `learner_id, course_id, unix_s`: `enrolled`.
"""

from pathlib import Path
from typing import Final

from datasets import clean
from datasets.collector import Collector
from datasets.dataset import Dataset, Finding
from datasets.files import csv_rows, find_file

LAYOUT: Final = "coco"
LOOKED_FOR: Final = "courses.csv with enrollments.csv (or .gz)"

_ENDINGS: Final = (".csv",)


def found(folder: Path) -> bool:
    """Return whether a folder has this layout."""
    return all(find_file(folder, stem, _ENDINGS) for stem in ("courses", "enrollments"))


def read(folder: Path) -> Dataset:
    """Read a COCO folder."""
    collector = Collector(LAYOUT)
    courses, enrolments = (find_file(folder, stem, _ENDINGS) for stem in ("courses", "enrollments"))
    if courses:
        for place, row in csv_rows(courses, collector.reject):
            collector.add_course(place, _course(row, collector))
    if enrolments:
        for place, row in csv_rows(enrolments, collector.reject):
            learner, course, second = (row.get(name, "") for name in ("learner_id", "course_id", "unix_s"))
            collector.add(place, "enrolled", learner, course, int(second) if second.isdecimal() else second)
    return collector.dataset()


def _course(row: dict[str, str], collector: Collector) -> dict[str, object]:
    category, *more = clean.labels(row.get("category", "")) or ("",)
    return {
        "course_id": row.get("course_id"),
        "title": clean.one_line(row.get("slug", "").replace("-", " ")),
        "category": category,
        "tags": tuple(dict.fromkeys((*more, *clean.labels(row.get("audience", "")))))[: clean.MAX_LABELS],
        "skills": clean.labels(row.get("concept", "")),
        "language": row.get("language"),
        "level": collector.parsed(Finding.UNKNOWN_LEVELS, clean.level, row.get("level")),
    }
