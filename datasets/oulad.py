"""OULAD (Open University Learning Analytics Dataset): scores of assessments to the day, here as graded courses.

Files, each optionally `.gz`:

- `assessments.csv`: `id_assessment` -> course; `code_module`, `code_presentation`, `assessment_type`, `date` (the day
  it is due, empty for some exams) and `weight` -> title, labels and description.
- `studentAssessment.csv`: `id_student`, `id_assessment`, `score` 0-100: each is an `enrolled` and a `graded` of one
  moment, `date_submitted` days after the presentation began, on the first of February (B) or October (J). A banked
  row carries an earlier grade over: it is left out, and counted.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from datasets import clean
from datasets.collector import Collector
from datasets.dataset import Dataset, Finding, Place
from datasets.files import csv_rows, find_file

LAYOUT: Final = "oulad"
LOOKED_FOR: Final = "assessments.csv with studentAssessment.csv (or .gz)"

_ENDINGS: Final = (".csv",)
_SCALE: Final = "0-100"
_MONTHS: Final = {"B": 2, "J": 10}
_TYPES: Final = {
    "TMA": "tutor-marked assessment",
    "CMA": "computer-marked assessment",
    "Exam": "exam",
}
_NO_DATE: Final = 10_000
Row = dict[str, str]


def found(folder: Path) -> bool:
    """Return whether a folder has this layout."""
    return all(find_file(folder, stem, _ENDINGS) for stem in ("assessments", "studentAssessment"))


def read(folder: Path) -> Dataset:
    """Read an OULAD folder."""
    collector = Collector(LAYOUT)
    assessments, scores = (find_file(folder, stem, _ENDINGS) for stem in ("assessments", "studentAssessment"))
    began: dict[str, datetime] = {}
    if assessments:
        began = _add_courses(list(csv_rows(assessments, collector.reject)), collector)
    if scores:
        for place, row in csv_rows(scores, collector.reject):
            _add_score(place, row, began, collector)
    return collector.dataset()


def presentation_began(code: str) -> datetime:
    """Return when a presentation began, to the month: the data has no day.

    >>> presentation_began("2013J").isoformat()
    '2013-10-01T00:00:00+00:00'
    """
    if not code[:-1].isdecimal() or code[-1:] not in _MONTHS:
        raise ValueError(f"{code!r} is no presentation, such as 2013J")
    return datetime(int(code[:-1]), _MONTHS[code[-1]], 1, tzinfo=UTC)


def _add_courses(rows: Iterable[tuple[Place, Row]], collector: Collector) -> dict[str, datetime]:
    """Take the assessments, numbered by module, presentation and type; return when each presentation began."""
    began: dict[str, datetime] = {}
    groups: dict[tuple[str, ...], list[tuple[float, str, Place, Row]]] = defaultdict(list)
    for place, row in rows:
        try:
            began[row.get("id_assessment", "")] = presentation_began(row.get("code_presentation", ""))
            due = clean.number(row["date"]) if row.get("date") else _NO_DATE
        except ValueError as error:
            collector.reject(place, str(error))
            continue
        kind = tuple(row.get(name, "") for name in ("code_module", "code_presentation", "assessment_type"))
        groups[kind].append((due, row.get("id_assessment", ""), place, row))
    for group in groups.values():
        for number, (*_, place, row) in enumerate(sorted(group), 1):
            collector.add_course(place, _course(row, number))
    return began


def _course(row: Row, number: int) -> dict[str, object]:
    module, presentation, kind = (row.get(name, "") for name in ("code_module", "code_presentation", "assessment_type"))
    due = f"due on day {row['date']}, " if row.get("date") else ""
    return {
        "course_id": row.get("id_assessment"),
        "title": f"{module} {kind} {number} ({presentation})",
        "description": f"Module {module}, {_TYPES.get(kind, kind)} {number}: {due}weight {row.get('weight', '')} %.",
        "category": module,
        "tags": (kind, presentation),
    }


def _add_score(place: Place, row: Row, began: dict[str, datetime], collector: Collector) -> None:
    if row.get("is_banked") == "1":
        collector.count(Finding.CARRIED_OVER)
        return
    learner, course = row.get("id_student", ""), row.get("id_assessment", "")
    start = began.get(course)
    if start is None:
        collector.reject(place, f"there is no assessment {course!r}: when its presentation began is unknown")
        return
    try:
        moment = start + timedelta(days=clean.number(row.get("date_submitted")))
        score = clean.number(row.get("score"))
    except (ValueError, OverflowError):
        collector.reject(place, f"score {row.get('score')!r} or day {row.get('date_submitted')!r} is no number")
        return
    collector.add(place, "enrolled", learner, course, moment)
    collector.add(place, "graded", learner, course, moment, value=score, scale=_SCALE)
