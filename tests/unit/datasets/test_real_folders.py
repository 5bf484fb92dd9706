"""The real folders, where they are there: the counts that their sources state."""

import gzip
import os
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from datasets.dataset import Dataset, Finding, sort_key
from datasets.detect import load
from schemas.courses import decode_course, encode_course
from schemas.events import CourseEvent, Graded, decode_event, encode_event

DATA = Path(os.environ.get("COURSESTREAM_DATA", Path(__file__).parents[4] / "shared" / "data"))


def real(name: str) -> Dataset:
    if not (DATA / name).is_dir():
        pytest.skip(f"{name} is not here")
    return load(DATA / name)


def kinds(data: Dataset) -> Counter[str]:
    return Counter(event.type_name for event in data.events)


def check(data: Dataset) -> None:
    """Assert what holds for every folder: order, unique ids, and that the log takes every record."""
    timeline = data.timeline()
    assert timeline == sorted(timeline, key=sort_key)
    assert len({event.event_id for event in timeline}) == len(timeline)
    assert all(decode_event(encode_event(event)) == event for event in timeline)
    assert all(decode_course(encode_course(course)) == course for course in data.courses)
    assert Finding.UNKNOWN_COURSES not in data.report


def test_mars() -> None:
    data = real("mars_en")
    check(data)
    found = kinds(data)
    assert (data.layout, len(data.courses), len(data.learners), data.rejects) == ("mars", 1_167, 1_409, [])
    assert found == {"enrolled": 14_984, "viewed": 6_607, "rated": 3_655, "completed": 2_513, "progressed": 1_142}
    assert data.report == {Finding.CONTRADICTIONS: 4, Finding.DUPLICATE_EVENTS: 355, Finding.SHORTENED_TEXTS: 16}
    opened = {(event.user_id, event.course_id) for event in data.events if isinstance(event, CourseEvent)}
    assert len(opened) == found["enrolled"]
    assert data.num_learners == len({event.user_id for event in data.timeline()}) == 3_661


def test_seed() -> None:
    data = real("seed_csv")
    check(data)
    assert (data.layout, len(data.courses)) == ("seed", 3_683 - 6 + 5)
    assert kinds(data) == {"rated": 2_000, "enrolled": 1_019, "progressed": 345, "completed": 343}
    assert [(reject.file, reject.line) for reject in data.rejects] == [("udemy_course_data.csv", 2071)]
    assert data.report[Finding.CONTRADICTIONS] == 341 + 293
    assert data.report[Finding.REPAIRED_TITLES] == data.report[Finding.DUPLICATE_COURSES] == 6
    assert not any('"' in course.title[-1:] or "http" in course.title for course in data.courses if course.title)


def test_coco() -> None:
    data = real("coco_a")
    check(data)
    assert (data.layout, len(data.courses), data.rejects, data.report) == ("coco", 8_196, [], {})
    assert kinds(data) == {"enrolled": 79_854}
    assert data.num_learners == 11_967
    assert len({event.course_id for event in data.events if isinstance(event, CourseEvent)}) == 7_917


def test_catalogues() -> None:
    udemy, edx = real("udemy_catalog"), real("edx_catalog")
    for data in (udemy, edx):
        check(data)
        assert (data.events, data.learners, data.rejects) == ([], [], [])
    assert (udemy.layout, len(udemy.courses)) == ("udemy", 3_672 + 8_311 - 299)
    assert udemy.report == {Finding.DUPLICATE_COURSES: 6 + 69, Finding.MISSING_TITLES: 7}
    assert (edx.layout, len(edx.courses), edx.report) == ("edx", 974, {})


def test_a_tenth_of_movielens(tmp_path: Path) -> None:
    """The whole of it takes ten seconds and says no more."""
    folder = DATA / "ml1m_prefix_ts"
    if not folder.is_dir():
        pytest.skip("ml1m_prefix_ts is not here")
    (tmp_path / "movies.dat").write_bytes((folder / "movies.dat").read_bytes())
    with gzip.open(folder / "ratings.dat.gz") as ratings:
        (tmp_path / "ratings.dat").write_bytes(b"".join(islice(ratings, 48_765)))
    data = load(tmp_path)
    check(data)
    assert (data.layout, len(data.courses), data.rejects, data.report) == ("movielens", 3_883, [], {})
    assert kinds(data) == {"enrolled": 48_765, "rated": 48_765}


def test_oulad() -> None:
    """All scores but the 1,909 carried over and the 173 that are empty, one of which is both."""
    data = real("oulad")
    check(data)
    assert (data.layout, len(data.courses), data.num_learners) == ("oulad", 206, 23_291)
    assert kinds(data) == dict.fromkeys(("enrolled", "graded"), 173_912 - 1_909 - 173 + 1)
    assert data.report == {Finding.CARRIED_OVER: 1_909, Finding.UNREADABLE_ROWS: 172}
    grades = [event.value for event in data.events if isinstance(event, Graded)]
    assert (min(grades), max(grades)) == (0, 100)
