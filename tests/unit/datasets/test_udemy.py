"""The Udemy catalogue: two files about partly the same courses."""

from pathlib import Path

from datasets.dataset import Dataset, Finding
from datasets.udemy import read

COURSES = (
    "course_id,course_title,url,is_paid,price,num_subscribers,num_reviews,num_lectures,level,content_duration,"
    "published_timestamp,subject\n"
    "1,SQL,https://example.org/sql,True,200,2147,23,51,All Levels,1.5,2017-01-18T20:58:58Z,Web Development\n"
)
HEADLINES = (
    "id,title,url,is_paid,price,visible_instructors,is_practice_test_course,published_title,locale_title,"
    "predictive_score,relevancy_score,headline\n"
    '1,Old title,/course/sql/,True,$19.99,Ann,False,sql,English (US),,,"Ask, and be answered"\n'
    "2,Piano,/course/piano/,False,Free,Bo,False,piano,English (UK),,,Play\n"
)


def dataset(folder: Path, courses: str = COURSES, headlines: str | None = HEADLINES) -> Dataset:
    (folder / "udemy_courses.csv").write_text(courses)
    if headlines is not None:
        (folder / "udemy_courses_headlines.csv").write_text(headlines)
    return read(folder)


def test_the_second_file_adds_what_the_first_does_not_know(tmp_path: Path) -> None:
    sql, piano = dataset(tmp_path).courses
    assert (sql.title, sql.price, sql.duration_minutes, sql.num_subscribers) == ("SQL", 200, 90, 2147)
    assert (sql.description, sql.instructor, sql.language) == ("Ask, and be answered", "Ann", "English (US)")
    assert sql.url == "https://example.org/sql"
    assert (piano.title, piano.price, piano.url) == ("Piano", 0, "https://www.udemy.com/course/piano/")
    assert piano.num_subscribers is None


def test_one_file_is_enough_and_repeated_rows_are_counted(tmp_path: Path) -> None:
    (course,) = dataset(tmp_path, headlines=None).courses
    assert course.description == ""
    data = dataset(tmp_path, headlines=HEADLINES + HEADLINES.splitlines()[2] + "\n")
    assert len(data.courses) == 2
    assert data.report == {Finding.DUPLICATE_COURSES: 1}
    assert (data.events, data.learners, data.rejects) == ([], [], [])


def test_what_cannot_be_read_is_rejected_with_its_line(tmp_path: Path) -> None:
    data = dataset(tmp_path, headlines=HEADLINES + "3,too few\n")
    assert [(reject.file, reject.line) for reject in data.rejects] == [("udemy_courses_headlines.csv", 4)]
