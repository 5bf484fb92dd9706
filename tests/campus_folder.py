"""A canonical folder of a small simulated campus, for whoever needs data to import."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from datasets.campus import Campus
from datasets.campus_life import Life, history, profiles
from schemas.courses import encode_course
from schemas.events import encode_event

COURSES: Final = 60
LEARNERS: Final = 300
EVENTS: Final = 1_500
DAY_ZERO: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""Where tests put day 0 of a campus."""


def write_campus(folder: Path) -> Path:
    """Write the folder and return it."""
    folder.mkdir()
    campus = Campus(COURSES, LEARNERS, seed=1)
    courses = [encode_course(course.published(DAY_ZERO)) for course in campus.courses.values()]
    events = [*profiles(campus, DAY_ZERO), *history(Life(campus), EVENTS, DAY_ZERO)]
    (folder / "courses.jsonl").write_bytes(b"\n".join(courses) + b"\n")
    (folder / "events.jsonl").write_bytes(b"\n".join(map(encode_event, events)) + b"\n")
    return folder
