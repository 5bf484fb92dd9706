"""Cutting batches into runs: a run is a claim that nothing between its first and last offset is missing."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import Enrolled
from stream.merge import join_run
from stream.runs import runs_of
from tests.reference import Logged
from tests.shard_state import CONTROL, record_of

EVENT = Enrolled(event_id="e", user_id="u", course_id="c", occurred_at=1)


def cut(offsets: list[int]) -> list[list[int]]:
    records = [record_of(Logged(EVENT, 1_000), offset) for offset in offsets]
    return [[record.offset for record in run] for run in runs_of(records)]


@pytest.mark.parametrize(
    ("offsets", "runs"),
    [
        ([], []),
        ([5], [[5]]),
        ([5, 6, 7], [[5, 6, 7]]),
        ([10327, *range(10262, 10299)], [[10327], list(range(10262, 10299))]),
        ([10298, 10299, 10262, 10263], [[10298, 10299], [10262, 10263]]),
        ([1, 2, 4, 5, 9], [[1, 2], [4, 5], [9]]),
        ([1, 2, 2, 3], [[1, 2], [2, 3]]),
        ([3, 2, 1], [[3], [2], [1]]),
    ],
    ids=["none", "one", "whole", "old-after-new", "redelivered", "holes", "twice", "backwards"],
)
def test_runs_are_cut_at_every_step_that_is_not_one(offsets: list[int], runs: list[list[int]]) -> None:
    assert cut(offsets) == runs


@given(st.lists(st.integers(0, 12), max_size=30))
def test_runs_hold_every_record_in_order_and_have_no_holes(offsets: list[int]) -> None:
    runs = cut(offsets)
    assert [offset for run in runs for offset in run] == offsets
    assert all(run == list(range(run[0], run[-1] + 1)) for run in runs)
    assert all(after[0] != before[-1] + 1 for before, after in pairwise(runs))


def test_a_run_spans_its_offsets_even_where_records_are_missing() -> None:
    """A range read for a filler may hold fewer records than offsets: what is missing was never a record."""
    records = [record_of(Logged(EVENT, 1_000), offset) for offset in (4, 6)]
    run = join_run(records, 3, 9, CONTROL)
    assert (run.first, run.last, run.num_records) == (3, 9, 2)
    assert run.updates["u"].offset == 6
