"""The canonical folder: every kind of file, every cleaning rule, every reason to reject."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from datasets.canonical import read
from datasets.dataset import Finding, Reject, write_rejects
from schemas.events import EVENT_TYPES, Feedback, ProfileUpdated, Rated, decode_event, encode_event

HEADER = "user_id,course_id,type,occurred_at,value,scale,event_id"
GOLDEN = Path(__file__).parents[2] / "golden" / "events"


def lines(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def event(**more: object) -> dict[str, object]:
    return {"type": "enrolled", "event_id": "e1", "user_id": "u1", "course_id": "c1", "occurred_at": 5, **more}


def write(folder: Path, name: str, text: str) -> None:
    if name.endswith(".gz"):
        (folder / name).write_bytes(gzip.compress(text.encode()))
    else:
        (folder / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize("packed", ["", ".gz"])
def test_csv_and_jsonl_of_the_same_content_are_the_same_events(tmp_path: Path, packed: str) -> None:
    table = (
        f"{HEADER},review,query\n"
        "u1,c1,rated,2024-03-01T11:30:00+02:00,9,1-10,,good,\n"
        "u1,c1,enrolled,1709285399,,,,,\n"
        "u2,,searched,1709285398.5,,,,,sql\n"
        "u1,c1,feedback,1709285500,useful,,,,\n"
    )
    records = lines(
        {"user_id": "u1", "course_id": "c1", "type": "rated", "occurred_at": "2024-03-01T09:30:00Z", "value": 9.0}
        | {"scale": "1-10", "review": "good"},
        {"user_id": "u1", "course_id": "c1", "type": "enrolled", "occurred_at": 1709285399},
        {"user_id": "u2", "type": "searched", "occurred_at": 1709285398.5, "query": "sql"},
        {"user_id": "u1", "course_id": "c1", "type": "feedback", "occurred_at": 1709285500, "value": "useful"},
    )
    for folder, name, text in (("a", "events.csv", table), ("b", "events.jsonl", records)):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, name + packed, text)
    one, other = read(tmp_path / "a"), read(tmp_path / "b")
    assert not one.rejects
    assert [row.type_name for row in one.events] == ["searched", "enrolled", "rated", "feedback"]
    assert [row.event_id for row in one.events] == [row.event_id for row in other.events]
    assert [row.occurred_us for row in one.events] == [row.occurred_us for row in other.events]
    rated, feedback = one.events[2:]
    assert isinstance(rated, Rated)
    assert (rated.value, rated.scale, rated.review) == (9, "1-10", "good")
    assert isinstance(feedback, Feedback)
    assert one.num_learners == 2


def test_every_golden_event_can_be_read(tmp_path: Path) -> None:
    records = [json.loads(path.read_bytes()) for path in sorted(GOLDEN.glob("*.json"))]
    write(tmp_path, "events.jsonl", lines(*records))
    data = read(tmp_path)
    assert not data.rejects
    assert {row.type_name for row in data.events} == EVENT_TYPES.keys()
    assert all(decode_event(encode_event(row)) == row for row in data.events)


def test_events_are_in_the_order_of_time_then_of_cause_then_of_their_ids(tmp_path: Path) -> None:
    kinds = ["dropped", "completed", "viewed", "enrolled"]
    rows = [event(type=kind, event_id=kind) for kind in kinds]
    rows += [event(event_id=name, user_id=name, occurred_at=4) for name in "ba"]
    write(tmp_path, "events.jsonl", lines(*rows))
    found = [row.event_id for row in read(tmp_path).events]
    assert found == ["a", "b", "viewed", "enrolled", "completed", "dropped"]


def test_courses_are_cleaned_field_by_field(tmp_path: Path) -> None:
    write(tmp_path, "events.jsonl", "")
    write(
        tmp_path,
        "courses.csv",
        "course_id,title,price,duration_minutes,published_at,tags,skills,num_reviews,level,retired\n"
        'c1,SQL,19.5,90,2017-01-18,sql | data|sql,"[""a"", ""b""]",7,beginner,true\n'
        "c2,,cheap,long,yesterday,,[broken,few,,\n"
        "c3,Excel,-5,1e9,1850-01-01,,,-1,,\n"
        "c4,Word,Free,,,,,,,\n",
    )
    data = read(tmp_path)
    first, second, third, fourth = data.courses
    assert (first.tags, first.skills, first.price, first.num_reviews) == (("sql", "data"), ("a", "b"), 19.5, 7)
    assert first.published_at is not None
    assert first.published_at.isoformat() == "2017-01-18T00:00:00+00:00"
    assert (first.duration_minutes, first.retired, first.level) == (90, True, "beginner")
    for course in (second, third):
        assert (course.price, course.duration_minutes, course.published_at, course.num_reviews) == (None,) * 4
    assert fourth.price == 0
    assert not data.rejects
    assert data.report == {
        Finding.MISSING_TITLES: 1,
        Finding.UNPARSABLE_PRICES: 1,
        Finding.UNPARSABLE_DURATIONS: 1,
        Finding.UNPARSABLE_DATES: 1,
        Finding.UNPARSABLE_LISTS: 1,
        Finding.UNPARSABLE_COUNTS: 1,
        Finding.OUTLIERS: 4,
    }


def test_repeated_courses_and_long_texts_are_counted(tmp_path: Path) -> None:
    course = {"course_id": "c1", "title": "SQL"}
    write(tmp_path, "events.jsonl", "")
    write(tmp_path, "courses.jsonl", lines(course, course, course | {"title": "New", "description": "x" * 30_000}))
    data = read(tmp_path)
    assert [(row.course_id, row.title, len(row.description)) for row in data.courses] == [("c1", "New", 20_000)]
    assert data.report == {
        Finding.DUPLICATE_COURSES: 1,
        Finding.CONTRADICTIONS: 1,
        Finding.SHORTENED_TEXTS: 1,
    }


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"title": "no id"}, "missing required field `course_id`"),
        ({"course_id": "a\x00b"}, "course_id: "),
        ({"course_id": 7}, "course_id: "),
        ({"course_id": "ö" * 200}, "course_id is longer than 255 bytes"),
    ],
)
def test_a_course_without_a_usable_id_is_rejected(tmp_path: Path, row: dict[str, object], reason: str) -> None:
    write(tmp_path, "events.jsonl", "")
    write(tmp_path, "courses.jsonl", lines(row, {"course_id": "good", "title": "Good"}))
    data = read(tmp_path)
    assert [course.course_id for course in data.courses] == ["good"]
    assert [(reject.file, reject.line) for reject in data.rejects] == [("courses.jsonl", 1)]
    assert reason in data.rejects[0].reason


def test_learners_are_profiles_stamped_with_their_first_event(tmp_path: Path) -> None:
    write(
        tmp_path,
        "learners.csv",
        'user_id,interests,goals,languages,level\nu1,sql|data,,"[""en""]",beginner\nu2,art,,,\nu3,,,,\nu1,sql,,,\nu2,art,,,\n',
    )
    write(tmp_path, "events.jsonl", lines(event(occurred_at=9), event(event_id="e2", user_id="u9", occurred_at=4)))
    data = read(tmp_path)
    profiles = {row.user_id: row for row in data.learners}
    assert profiles.keys() == {"u1", "u2"}
    assert (profiles["u1"].interests, profiles["u1"].level) == (("sql",), None)
    assert (profiles["u1"].occurred_us, profiles["u2"].occurred_us) == (9_000_000, 4_000_000)
    assert data.report[Finding.DUPLICATE_LEARNERS] == data.report[Finding.CONTRADICTIONS] == 1
    assert data.num_learners == 3
    timeline = data.timeline()
    assert [row.user_id for row in timeline] == ["u2", "u9", "u1", "u1"]
    assert isinstance(timeline[2], ProfileUpdated)


def test_equal_events_collapse_and_namesakes_are_kept(tmp_path: Path) -> None:
    write(tmp_path, "events.jsonl", lines(event(), event(), event(course_id="c2"), event(course_id="c2")))
    data = read(tmp_path)
    assert sorted(row.course_id for row in data.events if hasattr(row, "course_id")) == ["c1", "c2"]
    assert data.report[Finding.DUPLICATE_EVENTS] == 2
    assert data.report[Finding.CONTRADICTIONS] == 1


def test_events_of_unknown_courses_are_kept_and_counted(tmp_path: Path) -> None:
    write(tmp_path, "courses.jsonl", lines({"course_id": "c1", "title": "SQL"}))
    write(tmp_path, "events.jsonl", lines(event(), event(event_id="e2", course_id="c2")))
    data = read(tmp_path)
    assert len(data.events) == 2
    assert data.report == {Finding.UNKNOWN_COURSES: 1}


REJECTED: list[tuple[str, str, Finding]] = [
    ("u1,c1,enrolled,2024-03-01T09:30:00,,,", "occurred_at: ", Finding.UNPARSABLE_DATES),
    ("u1,c1,enrolled,2024-03-01,,,", "occurred_at: ", Finding.UNPARSABLE_DATES),
    ("u1,c1,enrolled,soon,,,", "occurred_at: ", Finding.UNPARSABLE_DATES),
    ("u1,c1,enrolled,-5,,,", "occurred_at: ", Finding.UNPARSABLE_DATES),
    ("u1,c1,enrolled,,,,", "occurred_at: is missing", Finding.UNPARSABLE_DATES),
    ("u1,c1,rated,5,6,,", "value: 6 is off the scale 1-5", Finding.OFF_SCALE),
    ("u1,c1,graded,5,101,,", "value: 101 is off the scale 0-100", Finding.OFF_SCALE),
    ("u1,c1,rated,5,nan,,", "value: 'nan' is no number", Finding.OFF_SCALE),
    ("u1,c1,rated,5,4,five,", "scale: ", Finding.UNREADABLE_ROWS),
    ("u1,c1,progressed,5,1.7,,", "value: ", Finding.UNREADABLE_ROWS),
    ("u1,c1,feedback,5,meh,,", "value: ", Finding.UNREADABLE_ROWS),
    ("u1,c1,finished,5,,,", "type: ", Finding.UNREADABLE_ROWS),
    ("u1,c1,,5,,,", "type: is missing", Finding.UNREADABLE_ROWS),
    ("u1,,enrolled,5,,,", "course_id: is missing", Finding.UNREADABLE_ROWS),
    (",c1,enrolled,5,,,", "user_id: is missing", Finding.UNREADABLE_ROWS),
    ("u\x001,c1,enrolled,5,,,", "user_id: ", Finding.UNREADABLE_ROWS),
    (f"{'u' * 10_000},c1,enrolled,5,,,", "user_id: ", Finding.UNREADABLE_ROWS),
    (f"u1,c1,enrolled,5,,,{'e' * 201}", "event_id: ", Finding.UNREADABLE_ROWS),
    ("u1,c1", "has 2 columns, the header has 7", Finding.UNREADABLE_ROWS),
    (f"{'u' * 140_000},c1,enrolled,5,,,", "is no CSV: field larger", Finding.UNREADABLE_ROWS),
]


@pytest.mark.parametrize(("row", "reason", "finding"), REJECTED, ids=[row[:30] for row, *_ in REJECTED])
def test_a_bad_row_is_rejected_with_line_and_reason_and_its_neighbours_are_read(
    tmp_path: Path, row: str, reason: str, finding: Finding
) -> None:
    good = "u1,c1,enrolled,{},,,"
    write(tmp_path, "events.csv", "\n".join([HEADER, good.format(1), row, good.format(2)]) + "\n")
    data = read(tmp_path)
    assert [found.occurred_us for found in data.events] == [1_000_000, 2_000_000]
    assert [(reject.file, reject.line) for reject in data.rejects] == [("events.csv", 3)]
    assert data.rejects[0].reason.startswith(reason)
    assert data.report[finding] == 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("not json", "is no JSON"),
        ("[1, 2]", "is no JSON object"),
        ("{" + '"a":{' * 20_000, "is n"),
        (json.dumps(event(schema_version=2)), "schema_version: "),
        (json.dumps(event(occurred_at="2024-03-01T09:30:00")), "occurred_at: "),
        (json.dumps(event(user_id=7)), "user_id: "),
        (json.dumps(event(event_id=None, user_id="")), "user_id: "),
    ],
)
def test_a_bad_line_is_rejected(tmp_path: Path, line: str, reason: str) -> None:
    write(tmp_path, "events.jsonl", line + "\n\n" + json.dumps(event()) + "\n")
    data = read(tmp_path)
    assert len(data.events) == 1
    assert [(reject.line, reject.reason[: len(reason)]) for reject in data.rejects] == [(1, reason)]


def test_reading_twice_gives_the_same(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{**event(event_id=None), "user_id": f"u{i % 3}", "occurred_at": i} for i in range(20)]
    write(tmp_path, "events.jsonl", lines(*rows))
    forward = read(tmp_path)
    write(tmp_path, "events.jsonl", lines(*reversed(rows)))
    assert read(tmp_path).events == forward.events
    assert len({row.event_id for row in forward.events}) == 20


def test_rejects_are_written_as_csv(tmp_path: Path) -> None:
    write(tmp_path, "events.csv", f'{HEADER}\nu1\n"u""2",c1,rated,5,"9,5",,\n')
    target = tmp_path / "x.rejects.csv"
    data = read(tmp_path)
    assert write_rejects(data, target) == 2
    assert data.rejects[0] == Reject("events.csv", 2, "has 1 columns, the header has 7")
    assert target.read_text(encoding="utf-8").splitlines() == [
        "file,line,reason",
        'events.csv,2,"has 1 columns, the header has 7"',
        "events.csv,3,\"value: could not convert string to float: '9,5'\"",
    ]
