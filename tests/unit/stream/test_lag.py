"""Lag by what was applied and committed."""

import pytest

from schemas.topics import ACTIVITY, LEARNER_EVENTS
from stream.lag import Lag, PartitionLag, next_offset


@pytest.mark.parametrize(
    ("topic", "begin", "committed", "applied", "expected"),
    [
        (LEARNER_EVENTS, 0, 900, 41, 42),  # a commit is a hint; what the state has applied counts
        (LEARNER_EVENTS, 0, 900, None, 0),  # a state that is gone must be rebuilt from the start
        (LEARNER_EVENTS, 5, None, -1, 5),
        (ACTIVITY, 0, 900, None, 900),
        (ACTIVITY, 7, None, None, 7),
        (ACTIVITY, 950, 900, None, 950),  # what retention has deleted does not wait
    ],
)
def test_what_is_read_next(topic: str, begin: int, committed: int | None, applied: int | None, expected: int) -> None:
    assert next_offset(topic, begin, committed, applied) == expected


def test_the_whole_lag_is_the_sum_and_the_oldest() -> None:
    lag = Lag([
        PartitionLag("g", LEARNER_EVENTS, 0, 5, 6, 10, 3, 1.5, "live"),
        PartitionLag("g", ACTIVITY, 0, None, None, 4, 4, 0.5, "live"),
    ])  # fmt: skip
    answer = lag.answer()
    assert (answer["lag"], answer["max_lag_s"]) == (7, 1.5)
    assert Lag([]).answer() == {"partitions": [], "lag": 0, "max_lag_s": 0.0}
