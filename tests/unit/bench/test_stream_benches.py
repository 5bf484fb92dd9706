"""What the benches of the stream publish, and how they sum up what they saw."""

from collections import Counter

from bench.freshness import Fresh, summary
from bench.pipeline import _speed
from bench.zipf import catalogue, zipf_events
from schemas.events import decode_event, encode_event


def test_few_learners_do_much_and_courses_are_those_of_the_catalogue() -> None:
    events = list(zipf_events(3_000, 1_750_000_000, learners=1_000, courses=100))
    counts = [count for _, count in Counter(event.user_id for event in events).most_common()]
    assert sum(counts[:10]) > 0.3 * len(events) and len(counts) > 300
    assert {getattr(event, "course_id", None) for event in events} <= {one.course_id for one in catalogue(100)}
    assert all(decode_event(encode_event(event)) == event for event in events)
    moments = [event.occurred_us // 1_000_000 for event in events]
    assert min(moments) > 1_750_000_000 - 3_600 and max(moments) <= 1_750_000_000


def test_what_is_refused_counts_as_never_readable() -> None:
    found = summary(10, [*(Fresh(0.0, 10.0, 12.0) for _ in range(3)), Fresh(0.0)])
    assert found.refused == 1 and found.events == 4
    assert found.p50_ms == 10.0 and found.p99_ms == float("inf")
    assert found.histogram.splitlines()[-1].endswith(" 1")


def test_ratios_are_ours_to_the_idle_agents() -> None:
    found = _speed(1_000, (0.5, 0.1), 3_000, (1.0, 0.3), 5_000, 2.0)
    assert (found.events_per_s, found.ratio, found.backlog_events_per_s) == (2_000, 0.667, 2_500)
    assert (found.cpu_us_per_event, found.idle_cpu_us_per_event, found.cpu_ratio) == (100.0, 100.0, 1.0)
