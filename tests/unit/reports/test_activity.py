"""Who was active when, counted by hand."""

from datetime import timedelta

import pandas as pd

from reports.activity import busy_learners, clock, odd_stamps, over_time
from reports.frames import frames_of
from tests.unit.reports.frames import MONDAY, campus, dataset, enrolled

LATER = pd.Timestamp("2026-02-01")


def test_days_without_an_event_are_zero() -> None:
    events = [enrolled("u1", "a"), enrolled("u1", "b", 0.1), enrolled("u2", "a", 0.2), enrolled("u1", "c", 2)]
    assert over_time(frames_of(dataset([*events])).events) == {
        "unit": "day",
        "starts": ["2026-01-05", "2026-01-06", "2026-01-07"],
        "learners": [2, 0, 1],
        "events": [3, 0, 1],
    }


def test_long_spans_go_by_week_or_month() -> None:
    by_week = over_time(frames_of(dataset([enrolled("u1", "a"), enrolled("u1", "b", 100)])).events)
    by_month = over_time(frames_of(dataset([enrolled("u1", "a"), enrolled("u1", "b", 800)])).events)
    assert by_week is not None
    assert by_month is not None
    assert (by_week["unit"], by_week["starts"][:2], len(by_week["starts"])) == (
        "week",
        ["2026-01-05", "2026-01-12"],
        15,
    )
    assert (by_month["unit"], by_month["starts"][:2], len(by_month["starts"])) == (
        "month", ["2026-01-01", "2026-02-01"], 27,
    )  # fmt: skip


def test_the_clock_is_utc_and_says_what_is_stamped_at_midnight() -> None:
    found = clock(frames_of(campus()).events)
    assert found is not None
    assert found["by_hour"] == [1, *[0] * 8, 8, *[0] * 14]
    assert found["by_weekday"] == {"Mon": 2, "Tue": 3, "Wed": 3, "Thu": 0, "Fri": 0, "Sat": 0, "Sun": 1}
    assert found["at_midnight_fraction"] == 0.111111


def test_a_learner_far_above_the_others_is_found() -> None:
    events = [enrolled(f"u{number}", "a") for number in range(20)]
    events += [enrolled("robot", f"c{number}", number // 8) for number in range(11)]
    found = busy_learners(frames_of(dataset([*events])).events)
    assert found is not None
    assert (found["limit"], found["beyond_limit"], found["events_of_them"]) == (10, 1, 11)
    assert found["most"][0] == {"user_id": "robot", "events": 11, "courses": 11, "in_a_day": 8}
    assert len(found["most"]) == 10


def test_stamps_out_of_order_and_in_the_future_are_counted() -> None:
    frames = frames_of(campus())
    assert odd_stamps(frames, LATER) == {"in_the_future": 0, "before_enrolment": 1, "before_publication": 1}
    early = pd.Timestamp(MONDAY + timedelta(days=8)).tz_localize(None)
    assert odd_stamps(frames, early)["in_the_future"] == 2


def test_nothing_comes_to_nothing() -> None:
    frames = frames_of(dataset([]))
    assert over_time(frames.events) is clock(frames.events) is busy_learners(frames.events) is None
    assert odd_stamps(frames, LATER) == {"in_the_future": 0, "before_enrolment": 0, "before_publication": 0}
