"""The table: faults by kind, and what makes a run a failure."""

import json
from dataclasses import replace

from rich.console import Console

from tests.chaos.nemesis import Happened, all_faults, pick
from tests.chaos.report import Figures, Report, by_kind
from tests.chaos.verdict import Verdict

HAPPENED = [
    Happened(0, "worker killed", "pid 1", 4.0, 3.0),
    Happened(1, "redis emptied", "nonces", 1.0),
    Happened(2, "worker killed", "pid 2", 9.0, 8.5),
    Happened(3, "worker killed", "pid 3", 5.0, 2.0),
]


def report(**changes: object) -> Report:
    """Return a report of a run in which all went well."""
    whole = Report(1, HAPPENED, Figures(models=["m-1"]), 0, Verdict(acked=1_000))
    return replace(whole, **changes)  # type: ignore[arg-type]  # fields of the report


def test_faults_are_counted_by_kind_with_median_and_longest_recovery() -> None:
    emptied, killed = by_kind(HAPPENED)
    assert (emptied.name, emptied.count, emptied.median_s, emptied.own_max_s) == ("redis emptied", 1, 1.0, None)
    assert (killed.count, killed.proof, killed.median_s, killed.max_s, killed.own_max_s) == (3, "pid 1", 5.0, 9.0, 8.5)


def test_a_fault_that_did_not_land_takes_no_part_in_the_times_and_fails_the_run() -> None:
    unproven = Happened(4, "redis emptied", "", 0.0, error="UnprovenError: nothing")
    assert by_kind([*HAPPENED, unproven])[0].median_s == 1.0
    assert report().holds
    assert not report(happened=[*HAPPENED, unproven]).holds


def test_a_broken_invariant_or_guarantee_fails_the_run() -> None:
    assert not report(violations=1).holds
    assert not report(verdict=Verdict(lost=["x"])).holds


def test_stalls_of_two_parts_of_a_run_are_not_added_up_and_counts_are() -> None:
    parts = Figures(10, 5, ack_stall_s=3, models=["a"]), Figures(10, 6, ack_stall_s=2, models=["b", "a"])
    joined = parts[0].joined(parts[1])
    assert (joined.seconds, joined.unknown) == (20, 11)
    assert (joined.ack_stall_s, joined.models) == (3, ["a", "b"])


def test_the_answer_is_json_and_the_table_names_every_kind() -> None:
    answer = json.loads(json.dumps(report().answer()))
    assert (answer["holds"], answer["faults"], answer["events_acknowledged"]) == (True, 4, 1_000)
    console = Console(width=200, record=True)
    with console.capture() as shown:
        console.print(report().shown())
    assert all(text in shown.get() for text in ("worker killed", "redis emptied", "all guarantees held"))
    with console.capture() as shown:
        console.print(report(violations=2).shown())
    assert "BROKEN" in shown.get()


def test_every_kind_of_fault_comes_before_one_comes_again() -> None:
    names = [fault.name for fault in all_faults()]
    assert len(set(names)) == len(names)
    first, second = ({pick(3, number + start, names) for number in range(len(names))} for start in (0, len(names)))
    assert first == second == set(names)
