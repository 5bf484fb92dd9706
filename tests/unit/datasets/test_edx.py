"""The edX catalogue: long texts, effort as hours a week."""

from pathlib import Path

import pytest

from datasets.dataset import Dataset, Finding
from datasets.edx import read

HEADER = (
    "title,summary,n_enrolled,institution,Level,subject,language,course_effort,course_length,course_description,"
    "course_syllabus,course_url,price_USD\n"
)
ROW = (
    'Python,"Short, and clear",293864,Michigan,Introductory,Computer Science,English,2–4 hours per week,7 Weeks,Long,'
    "pending,https://example.org/course/python-1,49\n"
)


def dataset(folder: Path, rows: str = ROW) -> Dataset:
    (folder / "edx_courses.csv").write_text(HEADER + rows, encoding="utf-8")
    return read(folder)


def test_a_course_is_mapped_column_by_column(tmp_path: Path) -> None:
    (course,) = dataset(tmp_path).courses
    assert (course.course_id, course.title, course.description) == ("python-1", "Python", "Short, and clear\n\nLong")
    assert (course.level, course.category, course.language) == ("beginner", "Computer Science", "English")
    assert (course.price, course.duration_minutes, course.num_subscribers) == (49, 1260, 293864)
    assert course.instructor == "Michigan"


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("Introductory", "Easy", Finding.UNKNOWN_LEVELS),
        ("7 Weeks", "a while", Finding.UNPARSABLE_DURATIONS),
        ("2–4 hours", "900 hours", Finding.OUTLIERS),
        (",49", ",much", Finding.UNPARSABLE_PRICES),
        ("293864", "many", Finding.UNPARSABLE_COUNTS),
    ],
)
def test_dirty_columns_are_left_out_and_counted(tmp_path: Path, old: str, new: str, finding: Finding) -> None:
    data = dataset(tmp_path, ROW.replace(old, new))
    assert len(data.courses) == 1
    assert data.report == {finding: 1}


def test_a_course_without_an_address_has_no_id(tmp_path: Path) -> None:
    data = dataset(tmp_path, ROW.replace("https://example.org/course/python-1", "") + ROW)
    assert [reject.line for reject in data.rejects] == [2]
    assert len(data.courses) == 1
