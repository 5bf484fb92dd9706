"""What a run knows after an interruption is what it knew before."""

from pathlib import Path
from typing import Any

from tests.chaos.campus import COURSES, ERASED_EVERY, RETIRED, Campus, catalogue, utc_now
from tests.chaos.journal import Journal
from tests.chaos.record import Record


def body(event_id: str, kind: str = "enrolled", course_id: str = "c1", **more: Any) -> dict[str, Any]:
    """Return an event of u1."""
    at = more.pop("at", "2026-01-01T00:00:00+00:00")
    return {"type": kind, "event_id": event_id, "user_id": "u1", "course_id": course_id, "occurred_at": at, **more}


def test_a_torn_last_line_is_dropped(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "lines")
    journal.write({"n": 1})
    journal.write({"n": 2})
    journal.close()
    with (tmp_path / "lines").open("a") as file:
        file.write('{"n": 3')
    again = Journal(tmp_path / "lines")
    again.write({"n": 4})
    assert list(again.read()) == [{"n": 1}, {"n": 2}, {"n": 4}]


def test_what_was_sent_and_not_acknowledged_is_known_after_a_restart(tmp_path: Path) -> None:
    first = Record(Journal(tmp_path / "record"))
    first.sent([body("a"), body("b", course_id="c2"), body("v", "viewed", "c3")], drawn=3)
    first.acknowledged([body("a"), body("v", "viewed", "c3")])
    for record in (first, Record(Journal(tmp_path / "record"))):
        assert [one["event_id"] for one in record.unknown] == ["b"]
        assert [one["event_id"] for one in record.acked_hard] == ["a"]
        assert (record.drawn, record.promised["u1"].taken) == (3, {"c1"})


def test_who_published_straight_to_kafka_was_promised_nothing_before_the_state_has_it(tmp_path: Path) -> None:
    record = Record(Journal(tmp_path / "record"))
    record.sent([body("a")])
    record.acknowledged([body("a")], 17)
    learner = record.promised["u1"]
    assert (learner.taken, learner.direct) == (set(), {"c1": 17})
    record.acknowledged([body("a")], 25)  # again: the first place counts
    assert learner.direct == {"c1": 17}


def test_a_refusal_holds_only_while_no_other_word_is_on_its_way(tmp_path: Path) -> None:
    record = Record(Journal(tmp_path / "record"))
    no = body("a", "feedback", value="not_for_me")
    yes = body("b", "feedback", value="useful", at="2026-01-02T00:00:00+00:00")
    refused = record.promised["u1"].refused
    record.sent([no])
    assert refused() == set()
    record.acknowledged([no])
    assert refused() == {"c1"}
    record.sent([yes])
    assert refused() == set()
    record.acknowledged([yes])
    assert refused() == set()


def test_an_erasure_ends_all_promises_when_it_is_sent(tmp_path: Path) -> None:
    record = Record(Journal(tmp_path / "record"))
    record.sent([{"type": "erased", "event_id": "x", "user_id": "u1", "occurred_at": "2026-01-01T00:00:00+00:00"}])
    assert record.promised["u1"].is_erased


def test_events_follow_from_seed_and_number_and_nobody_erased_comes_back() -> None:
    now, campus = utc_now(), Campus(7, 50)
    events = [campus.event(number, now) for number in range(4 * ERASED_EVERY)]
    assert events[:100] == [Campus(7, 50).event(number, now) for number in range(100)]
    assert len({event["event_id"] for event in events}) == len(events)
    gone: set[str] = set()
    for event in events:
        assert event["user_id"] not in gone
        gone |= {event["user_id"]} if event["type"] == "erased" else set()
    assert gone == {"u0", "u1", "u2", "u3"}


def test_the_catalogue_holds_what_events_and_retirements_name() -> None:
    known = {course["course_id"] for course in catalogue()}
    assert len(known) == COURSES
    assert known > RETIRED
