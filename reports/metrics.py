"""Metrics of several models side by side: which there are, which value is best, and what they mean."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from reports.page import Cell, Table, shown

Metrics = Mapping[str, float]
Models = Mapping[str, Metrics]

HEADLINES: Final = ("recall@10", "ndcg@10", "hr@10", "rmse")
"""What is drawn: the first of these that there is."""

_LOW_IS_GOOD: Final = ("rmse", "mae")
_ENDS: Final = ("_low", "_high")
_MEANINGS: Final = {
    "recall": "share of the tests whose course stood in the list",
    "hr": "hit rate: the same as recall where a test has one course",
    "ndcg": "as recall, but a course at place p counts 1 / log2(1 + p)",
    "mrr": "as recall, but a course at place p counts 1 / p",
    "precision": "share of the listed courses that were taken next",
    "coverage": "share of the catalogue that stood in any list",
    "novelty": "mean surprise of what is listed, in bits: -log2 of how often it is taken",
    "rmse": "root of the mean squared error of predicted values",
    "mae": "mean absolute error of predicted values",
}


def models_of(rows: Mapping[str, Mapping[str, Any]]) -> Models:
    """Return the rows without what is no finite number.

    >>> models_of({"popular": {"recall@10": 0.5, "mae": float("nan"), "note": "x"}})
    {'popular': {'recall@10': 0.5}}
    """
    return {
        name: {
            metric: value for metric, value in row.items() if isinstance(value, int | float) and math.isfinite(value)
        }
        for name, row in rows.items()
    }


def metrics_in(models: Models) -> list[str]:
    """Return the metrics that any model has, in order, without the ends of intervals.

    >>> metrics_in({"popular": {"recall@10": 0.5, "recall@10_low": 0.4, "recall@10_high": 0.6}})
    ['recall@10']
    """
    names = dict.fromkeys(name for row in models.values() for name in row)
    return [name for name in names if not (name.endswith(_ENDS) and name.rpartition("_")[0] in names)]


def headline_of(rows: Iterable[Metrics]) -> str | None:
    """Return the metric to draw; None if there is none of `HEADLINES`."""
    known = {name for row in rows for name in row}
    return next((name for name in HEADLINES if name in known), None)


def interval(row: Metrics, metric: str) -> tuple[float, float, float]:
    """Return low, value and high; all the same if there is no interval."""
    return row.get(f"{metric}_low", row[metric]), row[metric], row.get(f"{metric}_high", row[metric])


def is_low_good(metric: str) -> bool:
    """Return whether a smaller value is a better one."""
    return metric.startswith(_LOW_IS_GOOD)


def with_unit(metric: str) -> str:
    """Return a metric with its unit.

    >>> with_unit("recall@10"), with_unit("rmse")
    ('recall@10 (0 to 1)', 'rmse (in units of the scale)')
    """
    return f"{metric} ({'in units of the scale' if is_low_good(metric) else '0 to 1'})"


def cells(metric: str, models: Models) -> list[Cell]:
    """Return a cell a model: its value and, below it, the interval; equally good ones are all the best.

    >>> models = {"bias": {"mae": 0.5, "mae_low": 0.4, "mae_high": 0.6}, "svd": {"mae": 0.25}, "knn": {}}
    >>> [tuple(cell) for cell in cells("mae", models)]
    [('0.5000', '0.400–0.600', False), ('0.2500', '', True), ('–', '', False)]
    """
    values = [row[metric] for row in models.values() if metric in row]
    is_contest = len(values) > 1 and not metric.startswith("tests")
    best = (min if is_low_good(metric) else max)(values) if is_contest else None
    return [_cell(metric, row, best) for row in models.values()]


def _cell(metric: str, row: Metrics, best: float | None) -> Cell:
    if metric not in row:
        return Cell("–")
    low, value, high = interval(row, metric)
    return Cell(shown(value), f"{low:.3f}–{high:.3f}" if low < high else "", value == best)


def metric_table(models: Models) -> Table:
    """Return a row a metric and a column a model."""
    names = metrics_in(models)
    has_intervals = any(name.endswith(_ENDS) for row in models.values() for name in row)
    note = "The best of each row is bold." + (" Below a figure stands its 95 % interval." if has_intervals else "")
    return Table("All metrics", ("metric", *models), [(name, *cells(name, models)) for name in names], note=note)


def meaning_table(models: Models) -> Table:
    """Return what the metrics mean that any model has."""
    families = {name.partition("@")[0].partition("_")[0] for name in metrics_in(models)}
    rows = [(name, meaning) for name, meaning in _MEANINGS.items() if name in families]
    return Table("What they mean", ("metric", "meaning (@10: in lists of ten)"), rows, num_labels=2)


def difference(value: float, other: float) -> str:
    """Return by how much a value differs, with its sign.

    >>> difference(0.31, 0.141), difference(0.1, 0.141)
    ('+0.169', '-0.041')
    """
    return f"{value - other:+.3f}"
