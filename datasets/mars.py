"""MARS, the learning records of Mandarine Academy: short resources opened, watched and rated, with real timestamps.

Files, all with the same ending for the language (`_en`, `_fr`), the last two optional:

- `items_en.csv`: `item_id`; `name` -> title; `description`; `language`; `Difficulty` -> level; the first of `Theme` ->
  category, further ones -> tags; `Software` and `Job` -> tags; `duration` (seconds) -> minutes; `created_at` (a year)
  -> published. `N/A` is absent. `nb_views` knows the future and is left out.
- `implicit_ratings_en.csv`: `item_id, user_id, created_at`: a resource was opened. The first opening of a pair is
  `enrolled` (this is micro-learning), later ones are `viewed`.
- `explicit_ratings_en.csv`: `user_id, item_id, watch_percentage, created_at, rating` (1-10): `rated`, and `progressed`
  by the percentage, or `completed` at 100. Who rates has opened: before any view of the pair this is its `enrolled`.
  Two different rows of one pair and second contradict each other: the one that watched more counts.
- `users_en.csv`: `user_id, job`: the job is the goal of the learner's profile.

Times carry no offset in these files and are UTC.
"""

import ast
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from datasets import clean
from datasets.collector import Collector
from datasets.dataset import Dataset, Finding, Place
from datasets.files import csv_rows

LAYOUT: Final = "mars"
LOOKED_FOR: Final = "items_LANGUAGE.csv with implicit_ratings_LANGUAGE.csv"

_ABSENT: Final = ("", "N/A")
_SCALE: Final = "1-10"


class _Pair(NamedTuple):
    user_id: str
    item_id: str


class _Watched(NamedTuple):
    percentage: float
    rating: float
    place: Place


Views = dict[_Pair, dict[datetime, Place]]
Watches = dict[_Pair, dict[datetime, _Watched]]


def _language(folder: Path) -> str | None:
    """Return the ending of the first language that has items and openings."""
    for path in sorted(folder.glob("items_*.csv")):
        ending = path.stem.removeprefix("items_")
        if (folder / f"implicit_ratings_{ending}.csv").is_file():
            return ending
    return None


def found(folder: Path) -> bool:
    """Return whether a folder has this layout."""
    return _language(folder) is not None


def read(folder: Path) -> Dataset:
    """Read a MARS folder."""
    collector, ending = Collector(LAYOUT), _language(folder)
    for place, row in csv_rows(folder / f"items_{ending}.csv", collector.reject):
        collector.add_course(place, _course(row, collector))
    users = folder / f"users_{ending}.csv"
    if users.is_file():
        for place, row in csv_rows(users, collector.reject):
            collector.add_learner(place, row.get("user_id"), {"goals": _goals(row.get("job", ""))})
    views = _views(folder / f"implicit_ratings_{ending}.csv", collector)
    watches = _watches(folder / f"explicit_ratings_{ending}.csv", collector)
    for pair in dict.fromkeys((*views, *watches)):
        _add_openings(pair, views.get(pair, {}), watches.get(pair, {}), collector)
    for pair, rows in watches.items():
        for moment, watched in rows.items():
            _add_watched(pair, moment, watched, collector)
    return collector.dataset()


def _goals(job: str) -> tuple[str, ...]:
    return () if job.strip() in _ABSENT else (clean.one_line(job),)


def _words(text: object) -> tuple[str, ...]:
    """Return the labels of a list as Python writes it."""
    try:
        value = ast.literal_eval(str(text))
    except (SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"{text!r} is no list") from error
    return clean.labels(value)


def _course(row: dict[str, str], collector: Collector) -> dict[str, object]:
    known = {name: value for name, value in row.items() if value.strip() not in _ABSENT}
    lists = {
        name: collector.parsed(Finding.UNPARSABLE_LISTS, _words, known.get(name)) or ()
        for name in ("Theme", "Software", "Job")
    }
    return {
        "course_id": row.get("item_id"),
        "title": clean.one_line(known.get("name", "")),
        "description": known.get("description"),
        "language": known.get("language"),
        "level": collector.parsed(Finding.UNKNOWN_LEVELS, clean.level, known.get("Difficulty")),
        "category": next(iter(lists["Theme"]), None),
        "tags": tuple(dict.fromkeys((*lists["Software"], *lists["Job"], *lists["Theme"][1:])))[: clean.MAX_LABELS],
        "duration_minutes": collector.parsed(Finding.UNPARSABLE_DURATIONS, _minutes, known.get("duration")),
        "published_at": collector.parsed(Finding.UNPARSABLE_DATES, _year, known.get("created_at")),
    }


def _minutes(seconds: object) -> float:
    return clean.minutes(round(clean.number(seconds) / 60, 2))


def _year(text: object) -> datetime:
    return clean.moment(f"{int(str(text)):04d}-01-01")


def _created_at(place: Place, row: dict[str, str], collector: Collector) -> datetime | None:
    try:
        return clean.moment(row.get("created_at", ""))
    except ValueError as error:
        collector.reject(place, f"created_at: {error}", Finding.UNPARSABLE_DATES)
        return None


def _views(path: Path, collector: Collector) -> Views:
    """Return each pair's openings in the order of time."""
    views: Views = {}
    for place, row in csv_rows(path, collector.reject):
        moment = _created_at(place, row, collector)
        if moment is None:
            continue
        known = views.setdefault(_Pair(row.get("user_id", ""), row.get("item_id", "")), {})
        if moment in known:
            collector.count(Finding.DUPLICATE_EVENTS)
        known.setdefault(moment, place)
    return {pair: dict(sorted(moments.items())) for pair, moments in views.items()}


def _watches(path: Path, collector: Collector) -> Watches:
    """Return each pair's ratings; of several of one second the one that watched most."""
    watches: Watches = {}
    if not path.is_file():
        return watches
    for place, row in csv_rows(path, collector.reject):
        moment = _created_at(place, row, collector)
        try:
            percentage, rating = clean.number(row.get("watch_percentage")), clean.number(row.get("rating"))
        except ValueError as error:
            collector.reject(place, f"watch_percentage or rating: {error}")
            continue
        if moment is not None:
            rows = watches.setdefault(_Pair(row.get("user_id", ""), row.get("item_id", "")), {})
            rows[moment] = _more_watched(rows.get(moment), _Watched(percentage, rating, place), collector)
    return watches


def _more_watched(known: _Watched | None, watched: _Watched, collector: Collector) -> _Watched:
    if known is None:
        return watched
    collector.count(Finding.DUPLICATE_EVENTS if known[:2] == watched[:2] else Finding.CONTRADICTIONS)
    return max(known, watched)


def _add_openings(
    pair: _Pair, views: dict[datetime, Place], watches: dict[datetime, _Watched], collector: Collector
) -> None:
    """Add the pair's first opening as `enrolled`, its later views as `viewed`."""
    openings = views
    if watches and (not views or min(watches) < min(views)):
        openings = {min(watches): watches[min(watches)].place, **views}
    for i, (moment, place) in enumerate(openings.items()):
        collector.add(place, "viewed" if i else "enrolled", *pair, moment)


def _add_watched(pair: _Pair, moment: datetime, watched: _Watched, collector: Collector) -> None:
    """Add how far the learner watched and what he thought of it; a percentage beyond 0-100 is left out."""
    if not 0 <= watched.percentage <= 100:
        collector.count(Finding.OUTLIERS)
    elif watched.percentage == 100:
        collector.add(watched.place, "completed", *pair, moment)
    else:
        collector.add(watched.place, "progressed", *pair, moment, value=watched.percentage / 100)
    collector.add(watched.place, "rated", *pair, moment, value=watched.rating, scale=_SCALE)
