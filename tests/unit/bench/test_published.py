"""Figures in print: each has its source, and says whether it was read and what differs."""

import re

from bench.published import published
from bench.suite import SUITE
from bench.tables import published_table


def test_every_figure_has_a_source_and_stands_beside_a_bench() -> None:
    figures = published()
    assert len(figures) > 20
    for one in figures:
        assert len(one.source) > 20, one.model
        assert re.search(r"github\.com/\w|\b(19|20)\d\d\b", one.source), one.model  # where, or when
        assert one.bench in {bench.name for bench in SUITE}
        assert one.metrics
        assert all(0 < value < 1 for name, value in one.metrics.items() if "@" in name), one.model
    names = [(one.bench, one.model, *one.metrics) for one in figures]
    assert len(set(names)) == len(names)


def test_what_differs_is_said() -> None:
    assert all(one.same or one.note for one in published())


def test_what_was_not_read_is_marked_and_stands_below() -> None:
    figures = [one for one in published("ncf") if one.same]
    rows = published_table(figures).splitlines()[2:]
    marked = ["recollected, not checked" in row for row in rows]
    assert sum(marked) == sum(not one.read for one in figures) > 0
    assert marked == sorted(marked)
