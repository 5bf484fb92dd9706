"""A Udemy catalogue without events: prices, levels and counts from one file, headlines from another.

Files, the second one optional:

- `udemy_courses.csv`: the columns of `udemy_course_data.csv` in the seed layout, but `content_duration` in hours,
  without the unit.
- `udemy_courses_headlines.csv`: `id`; `title`; `url` (a path); `price` (`Free` or `$19.99`); `visible_instructors` ->
  instructor; `locale_title` -> language; `headline` -> description. Where both files have a course, the first one
  counts, and the second adds what it does not know.
"""

from pathlib import Path
from typing import Final, NamedTuple

from datasets import clean
from datasets.collector import Collector
from datasets.dataset import Dataset, Finding, Place
from datasets.files import csv_rows
from datasets.seed import add_course

LAYOUT: Final = "udemy"
LOOKED_FOR: Final = "udemy_courses.csv"

_HEADLINES: Final = "udemy_courses_headlines.csv"
_SITE: Final = "https://www.udemy.com"


class _Headline(NamedTuple):
    place: Place
    fields: dict[str, object]


def found(folder: Path) -> bool:
    """Return whether a folder has this layout."""
    return (folder / LOOKED_FOR).is_file()


def read(folder: Path) -> Dataset:
    """Read a folder with a Udemy catalogue."""
    collector = Collector(LAYOUT)
    headlines = _headlines(folder / _HEADLINES, collector)
    both = set()
    for place, row in csv_rows(folder / LOOKED_FOR, collector.reject):
        course_id, hours = row.get("course_id", "").strip(), row.get("content_duration", "").strip()
        both.add(course_id)
        known = headlines[course_id].fields if course_id in headlines else {}
        add_course(place, {**row, "content_duration": f"{hours} hours" if hours else ""}, known, collector)
    for course_id, headline in headlines.items():
        if course_id not in both:
            collector.add_course(headline.place, headline.fields)
    return collector.dataset()


def _headlines(path: Path, collector: Collector) -> dict[str, _Headline]:
    """Return the courses of the second file by id; of several rows of one course the last counts."""
    courses: dict[str, _Headline] = {}
    if not path.is_file():
        return courses
    for place, row in csv_rows(path, collector.reject):
        fields = _fields(row, collector)
        course_id = str(fields["course_id"])
        if course_id in courses:
            is_same = courses[course_id].fields == fields
            collector.count(Finding.DUPLICATE_COURSES if is_same else Finding.CONTRADICTIONS)
        courses[course_id] = _Headline(place, fields)
    return courses


def _fields(row: dict[str, str], collector: Collector) -> dict[str, object]:
    url = row.get("url", "").strip()
    return {
        "course_id": row.get("id", "").strip(),
        "title": clean.one_line(row.get("title", "")),
        "description": row.get("headline"),
        "instructor": row.get("visible_instructors"),
        "language": row.get("locale_title"),
        "price": collector.parsed(Finding.UNPARSABLE_PRICES, clean.price, row.get("price")),
        "url": f"{_SITE}{url}" if url.startswith("/") else url,
    }
