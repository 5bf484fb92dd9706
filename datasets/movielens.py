"""MovieLens-1M: a dense stream of ratings to the second, here as courses to control results against print.

Files, `ratings.dat` optionally `.gz`, fields separated by `::`, Latin-1:

- `movies.dat`: movie id, title, genres separated by `|`: the genres are the tags, the first one the category.
- `ratings.dat`: user id, movie id, rating 1-5, unix seconds: each is an `enrolled` and a `rated` of the same second.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from datasets import clean
from datasets.collector import Collector
from datasets.dataset import Dataset, Place
from datasets.files import RejectRow, find_file, text_lines
from schemas.courses import Course

LAYOUT: Final = "movielens"
LOOKED_FOR: Final = "movies.dat with ratings.dat (or .gz)"

_SCALE: Final = "1-5"


def found(folder: Path) -> bool:
    """Return whether a folder has this layout."""
    return all(find_file(folder, stem, (".dat",)) for stem in ("movies", "ratings"))


def read(folder: Path) -> Dataset:
    """Read a MovieLens folder."""
    collector = Collector(LAYOUT)
    _add_courses(folder, collector)
    for place, (user_id, movie_id, rating, second) in rows(folder, "ratings", 4, collector.reject):
        if rating.isdecimal() and second.isdecimal():
            collector.add(place, "enrolled", user_id, movie_id, int(second))
            collector.add(place, "rated", user_id, movie_id, int(second), value=int(rating), scale=_SCALE)
        else:
            collector.reject(place, f"rating {rating!r} or second {second!r} is no whole number")
    return collector.dataset()


def courses(folder: Path) -> list[Course]:
    """Read the courses alone."""
    collector = Collector(LAYOUT)
    _add_courses(folder, collector)
    return collector.dataset().courses


def _add_courses(folder: Path, collector: Collector) -> None:
    for place, (movie_id, title, genres) in rows(folder, "movies", 3, collector.reject):
        tags = clean.labels(genres)
        body = {"course_id": movie_id, "title": clean.one_line(title), "tags": tags, "category": "".join(tags[:1])}
        collector.add_course(place, dict(body))


def rows(folder: Path, stem: str, num_fields: int, reject: RejectRow) -> Iterator[tuple[Place, list[str]]]:
    """Yield the fields of a file's rows; one with another number of them is rejected."""
    path = find_file(folder, stem, (".dat",))
    if path is None:
        return
    for place, text in text_lines(path, reject, encoding="latin-1"):
        fields = text.split("::")
        if len(fields) == num_fields:
            yield place, fields
        else:
            reject(place, f"has {len(fields)} fields separated by ::, not {num_fields}")
