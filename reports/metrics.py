"""Metrics of several models side by side: which there are, which value is best, and what they mean."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from reports.page import Cell, Table, percent, shown

Metrics = Mapping[str, float]
Models = Mapping[str, Metrics]

HEADLINES: Final = ("rmse", "recall@10", "ndcg@10", "hr@10")
"""What is drawn: the first of these that there is."""

_LOW_IS_GOOD: Final = ("rmse", "mae")
_HIGH_IS_GOOD: Final = ("recall", "hr", "ndcg", "mrr", "precision")
_ENDS: Final = ("_low", "_high")
_MEANINGS: Final = {
    "recall": "share of the tests whose course stood in the list",
    "hr": "hit rate: share of the lists in which the course to be found stood",
    "ndcg": "as hr, but a course at place p counts 1 / log2(1 + p); 1 is the best order",
    "mrr": "as hr, but a course at place p counts 1 / p",
    "precision": "share of the listed courses that were to be found",
    "coverage": "share of the catalogue that stood in any list",
    "novelty": "mean surprise of what is listed, in bits: -log2 of how often it is taken",
    "similarity": "mean cosine of the texts within a list",
    "rmse": "root of the mean squared error of predicted grades, as a fraction of their scale",
    "mae": "mean absolute error of predicted grades, as a fraction of their scale",
}
_OF_SOME: Final = {
    "known": "only learners with a history; of grades, courses that have some",
    "empty": "only learners without a history",
    "new": "only courses without grades before",
    "full": "among the whole catalogue instead of the split's 99 others",
    "ties": "only tests of the same second as a training course, which gives the answer away",
    "clean": "only tests that are later than the training",
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
    ('recall@10 (0 to 1)', 'rmse (fraction of the scale)')
    """
    return f"{metric} ({'fraction of the scale' if is_low_good(metric) else '0 to 1'})"


def cells(metric: str, models: Models) -> list[Cell]:
    """Return a cell a model: its value and, below it, the interval; equally good ones are all the best.

    >>> models = {"bias": {"mae": 0.5, "mae_low": 0.4, "mae_high": 0.6}, "svd": {"mae": 0.25}, "knn": {}}
    >>> [tuple(cell) for cell in cells("mae", models)]
    [('0.5000', '0.400–0.600', False), ('0.2500', '', True), ('–', '', False)]
    """
    values = [row[metric] for row in models.values() if metric in row]
    is_contest = len(values) > 1 and metric.startswith(_LOW_IS_GOOD + _HIGH_IS_GOOD)
    best = (min if is_low_good(metric) else max)(values) if is_contest else None
    return [_cell(metric, row, best) for row in models.values()]


def _cell(metric: str, row: Metrics, best: float | None) -> Cell:
    if metric not in row:
        return Cell("–")
    low, value, high = interval(row, metric)
    return Cell(shown(value), f"{low:.3f}–{high:.3f}" if low < high else "", value == best)


def has_intervals(models: Models) -> bool:
    """Return whether any metric has an interval."""
    return any(name.endswith(_ENDS) for row in models.values() for name in row)


def metric_table(models: Models) -> Table:
    """Return a row a metric and a column a model."""
    note = "The best of each row is bold, where more or less is better."
    if has_intervals(models):
        note += " Below a figure stands its 95 % interval."
    return Table(
        "All metrics", ("metric", *models), [(name, *cells(name, models)) for name in metrics_in(models)], note=note
    )


def meaning_table(models: Models) -> Table:
    """Return what the metrics mean that any model has, and what they are of."""
    parts = [name.replace("@", "_").split("_") for name in metrics_in(models)]
    families, endings = {part[0] for part in parts}, {end for part in parts for end in part[1:]}
    rows = [(name, meaning) for name, meaning in _MEANINGS.items() if name in families]
    rows += [(f"…_{name}", meaning) for name, meaning in _OF_SOME.items() if name in endings]
    return Table("What they mean", ("metric", "meaning (@10: in lists of ten)"), rows, num_labels=2)


def gain_table(gains: Mapping[str, Mapping[str, float]]) -> Table:
    """Return by which part the RMSE of the model of grades is lower than that of others, on the same grades.

    >>> gain_table({"bias": {"rmse": 0.031, "low": 0.02, "high": 0.04}}).rows
    [('bias', Cell(text='3.1\\xa0%', below='2.0\\xa0% to 4.0\\xa0%', is_best=False))]
    """
    rows = [
        (name, Cell(percent(gain["rmse"]), f"{percent(gain['low'])} to {percent(gain['high'])}"))
        for name, gain in gains.items()
    ]
    note = "On the same grades. Below a figure stands its 95 % interval; one that holds 0 shows no difference."
    return Table("What the model of grades gains", ("against", "RMSE lower by"), rows, note=note)


def difference(value: float, other: float) -> str:
    """Return by how much a value differs, with its sign.

    >>> difference(0.31, 0.141), difference(0.1, 0.141)
    ('+0.169', '-0.041')
    """
    return f"{value - other:+.3f}"
