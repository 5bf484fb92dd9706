"""The seed layout, with the dirt that real exports have."""

from collections import Counter
from pathlib import Path

import pytest

from datasets.dataset import Dataset, Finding
from datasets.seed import read
from schemas.events import Progressed, Rated

COURSES = (
    "course_id,course_title,url,is_paid,price,num_subscribers,num_reviews,num_lectures,level,content_duration,"
    "published_timestamp,subject\n"
)
INTERACTIONS = "user_id,course_id,rating,enrollment_status,completion_status,timestamp\n"
GOOD = "1,SQL,https://example.org/sql,TRUE,20,2147,23,51,All Levels,1.5 hours,2017-01-18T20:58:58Z,Web Development\n"


def dataset(folder: Path, courses: str = GOOD, interactions: str = "", users: str | None = None) -> Dataset:
    (folder / "udemy_course_data.csv").write_text(COURSES + courses, encoding="utf-8")
    (folder / "user_course_interactions.csv").write_text(INTERACTIONS + interactions, encoding="utf-8")
    if users is not None:
        (folder / "users.csv").write_text(users, encoding="utf-8")
    return read(folder)


def test_a_course_is_mapped_column_by_column(tmp_path: Path) -> None:
    (course,) = dataset(tmp_path).courses
    assert (course.course_id, course.title, course.url) == ("1", "SQL", "https://example.org/sql")
    assert (course.price, course.level, course.duration_minutes) == (20, "all", 90)
    assert (course.category, course.num_subscribers, course.num_reviews) == ("Web Development", 2147, 23)
    assert course.published_at is not None
    assert course.published_at.isoformat() == "2017-01-18T20:58:58+00:00"


@pytest.mark.parametrize(
    ("old", "new", "field", "value", "finding"),
    [
        ("SQL", "", "title", "", Finding.MISSING_TITLES),
        ("SQL", " Basics  of SQL ", "title", "Basics of SQL", None),
        ("SQL", '"The True \'Secret"""', "title", "The True 'Secret", None),
        (",20,", ",Free,", "price", 0, None),
        (",20,", ",TRUE,", "price", None, Finding.UNPARSABLE_PRICES),
        (",20,", ",-3,", "price", None, Finding.OUTLIERS),
        ("TRUE,20", "FALSE,20", "price", None, Finding.CONTRADICTIONS),
        ("TRUE,20", "FALSE,0", "price", 0, None),
        ("1.5 hours", "35 mins", "duration_minutes", 35, None),
        ("1.5 hours", "218 questions", "duration_minutes", None, Finding.UNPARSABLE_DURATIONS),
        ("1.5 hours", "5000 hours", "duration_minutes", None, Finding.OUTLIERS),
        ("2017-01-18T20:58:58Z", "3 hours", "published_at", None, Finding.UNPARSABLE_DATES),
        ("All Levels", "52", "level", "", Finding.UNKNOWN_LEVELS),
        ("2147", "many", "num_subscribers", None, Finding.UNPARSABLE_COUNTS),
    ],
)
def test_dirty_columns_are_left_out_and_counted(
    tmp_path: Path, old: str, new: str, field: str, value: object, finding: Finding | None
) -> None:
    assert old in GOOD
    data = dataset(tmp_path, GOOD.replace(old, new, 1))
    assert [getattr(course, field) for course in data.courses] == [value]
    assert data.report == ({finding: 1} if finding else {})


def test_a_title_that_swallowed_the_next_row_is_two_courses(tmp_path: Path) -> None:
    swallowed = (
        '7,"Play \'Electric Guitar"",https://example.org/guitar,true,50,1105,5,20,Beginner Level,2 hours,'
        '2016-12-29T00:24:06Z\n8,Learn Piano Today""",https://example.org/piano,TRUE,100,6271,68,75,All Levels,5 hours,'
        "2013-06-27T21:55:17Z,Musical Instruments\n"
    )
    data = dataset(tmp_path, swallowed)
    assert [(course.course_id, course.title, course.price, course.level) for course in data.courses] == [
        ("7", "Play 'Electric Guitar", 50, "beginner"),
        ("8", "Learn Piano Today", 100, "all"),
    ]
    assert {course.category for course in data.courses} == {"Musical Instruments"}
    assert data.report == {Finding.REPAIRED_TITLES: 1}


def test_shifted_columns_are_rejected_and_repeated_rows_counted(tmp_path: Path) -> None:
    shifted = '9,unlock a 1,"000!""",TRUE,0,30,1463,29,52,Beginner Level,3 hours,Musical Instruments\n'
    data = dataset(tmp_path, GOOD + shifted + GOOD)
    assert [course.course_id for course in data.courses] == ["1"]
    assert [(reject.line, reject.reason.partition(":")[0]) for reject in data.rejects] == [(3, "columns are shifted")]
    assert data.report[Finding.DUPLICATE_COURSES] == 1


@pytest.mark.parametrize(
    ("status", "kinds", "contradictions"),
    [
        ("Yes,Not Started", ["enrolled", "rated"], 0),
        ("Yes,In Progress", ["enrolled", "progressed", "rated"], 0),
        ("yes,completed", ["enrolled", "completed", "rated"], 0),
        ("No,Not Started", ["rated"], 0),
        ("No,In Progress", ["rated"], 1),
        ("No,Completed", ["rated"], 1),
    ],
)
def test_a_row_stands_for_these_events(tmp_path: Path, status: str, kinds: list[str], contradictions: int) -> None:
    data = dataset(tmp_path, interactions=f"u1,1,4,{status},2024-05-09\n")
    assert [event.type_name for event in data.events] == kinds
    assert {event.occurred_us for event in data.events} == {1_715_212_800_000_000}
    assert data.report.get(Finding.CONTRADICTIONS, 0) == contradictions
    rated = data.events[-1]
    assert isinstance(rated, Rated)
    assert (rated.value, rated.scale) == (4, "1-5")
    assert all(event.value == 0.5 for event in data.events if isinstance(event, Progressed))


@pytest.mark.parametrize(
    ("row", "reason", "kept"),
    [
        ("u1,1,4,Perhaps,Completed,2024-05-09", "enrollment_status or completion_status: 'perhaps'", 0),
        ("u1,1,4,Yes,Somehow,2024-05-09", "enrollment_status or completion_status: 'somehow'", 0),
        ("u1,1,4,Yes,Completed,9.5.2024", "timestamp: ", 0),
        ("u1,1,7,Yes,Not Started,2024-05-09", "value: 7 is off the scale 1-5", 1),
        ("u1,1,good,Yes,Not Started,2024-05-09", "rating: ", 1),
    ],
)
def test_what_cannot_be_read_is_rejected_alone(tmp_path: Path, row: str, reason: str, kept: int) -> None:
    data = dataset(tmp_path, interactions=row + "\nu2,1,,Yes,,2024-05-10\n")
    assert len(data.events) == kept + 1
    assert [(reject.file, reject.line) for reject in data.rejects] == [("user_course_interactions.csv", 2)]
    assert data.rejects[0].reason.startswith(reason)


def test_repeated_interactions_collapse(tmp_path: Path) -> None:
    row = "u1,1,4,Yes,Completed,2024-05-09\n"
    data = dataset(tmp_path, interactions=row + row)
    assert Counter(event.type_name for event in data.events) == {"enrolled": 1, "completed": 1, "rated": 1}
    assert data.report == {Finding.DUPLICATE_EVENTS: 3}


def test_users_may_carry_any_of_the_profile_columns(tmp_path: Path) -> None:
    header = "user_id,interests,preferred_categories,level,language,age\n"
    users = 'u1,"sql, data",Music,Beginner Level,en,40\nu2,,,,,\n'
    data = dataset(tmp_path, interactions="u1,1,4,Yes,,2024-05-09\n", users=header + users)
    (profile,) = data.learners
    assert (profile.interests, profile.goals, profile.languages) == (("sql", "data", "Music"), None, ("en",))
    assert profile.level == "beginner"
    assert profile.occurred_us == data.events[0].occurred_us
