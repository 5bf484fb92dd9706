"""The report of an evaluation: the answer as JSON, and a page of whatever the answer holds."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from reports.charts import Line, Words, bar_chart, interval_chart, line_chart
from reports.metrics import (
    Models,
    cells,
    difference,
    gain_table,
    has_intervals,
    headline_of,
    interval,
    is_low_good,
    meaning_table,
    metric_table,
    metrics_in,
    models_of,
    with_unit,
)
from reports.page import Cell, Section, Table, render

Answer = Mapping[str, Any]

PAGE: Final = "evaluation.html"
ANSWER: Final = "evaluation.json"

_POPULAR: Final = "popular"
_FACTS: Final = ("protocol", "events", "rejected", "refits", "seconds")
_INTERVALS: Final = (
    " A bar through a dot is a 95 % interval: models whose bars overlap far are not told apart by these tests."
)


def write_report(folder: Path, answer: Answer) -> None:
    """Write `evaluation.json` and `evaluation.html` into a folder, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ANSWER).write_bytes(msgspec.json.format(msgspec.json.encode(answer)))
    (folder / PAGE).write_text(page_of(answer), encoding="utf-8")


def page_of(answer: Answer) -> str:
    """Return the page of an answer.

    It has `models` (name -> metric -> value; `METRIC_low` and `METRIC_high` are the ends of an interval) and may have
    `curves` (name -> the metric drawn, over stretches of tests), `buckets` (length of history -> name -> metrics),
    `learning_curves` (name -> figure -> value an epoch), `ablations` (variant -> metrics) and `gains` (other model ->
    by which part the model of grades has a lower RMSE, with `low` and `high`).
    """
    sections = [section for make in _SECTIONS if (section := make(answer)) is not None]
    facts = [(name, answer[name]) for name in _FACTS if name in answer]
    return render(f"{answer['dataset']}: models compared, {answer['protocol']}", facts, sections)


def _metrics(answer: Answer) -> Section:
    models = models_of(answer["models"])
    metric = headline_of(models.values())
    charts = []
    if metric is not None:
        words = Words(
            f"{metric} by model", with_unit(metric), "",
            f"Further {'left' if is_low_good(metric) else 'right'} is better."
            + (_INTERVALS if has_intervals(models) else ""),
        )  # fmt: skip
        drawn = {name: interval(row, metric) for name, row in models.items() if metric in row}
        charts = [interval_chart(words, drawn)]
    gains = [gain_table(answer["gains"])] if answer.get("gains") else []
    return Section("metrics", "Metrics", charts=charts, tables=[metric_table(models), *gains, meaning_table(models)])


def _over_time(answer: Answer) -> Section | None:
    curves: Mapping[str, Line] = answer.get("curves") or {}
    points = max(map(len, curves.values()), default=0)
    if not points:
        return None
    metric = headline_of(models_of(answer["models"]).values()) or "the metric"
    words = Words(
        f"{metric} over time", "stretch of tests, oldest first, each of as many tests", with_unit(metric),
        "Each point is the mean of one stretch. Lines that get better have learnt from what happened since; "
        "where all get worse together, the tests became harder.",
    )  # fmt: skip
    return Section("over-time", "Over time", charts=[line_chart(words, range(1, points + 1), curves)])


def _history(answer: Answer) -> Section | None:
    buckets = {name: models_of(models) for name, models in (answer.get("buckets") or {}).items()}
    metric = headline_of(row for models in buckets.values() for row in models.values())
    if metric is None:
        return None
    names = list(dict.fromkeys(name for models in buckets.values() for name in models))
    words = Words(
        f"{metric} by length of history", "courses in the history at the time of the test; n tests", with_unit(metric),
        f"A point a model, over the same tests. Compare with {_POPULAR}: only where a model does better does "
        "it know something of the learner. `new` are tests whose course nobody had met a week before.",
    )  # fmt: skip
    ticks = [f"{bucket}\nn={_num_tests(models):,.0f}" for bucket, models in buckets.items()]
    lines = {name: [models.get(name, {}).get(metric) for models in buckets.values()] for name in names}
    rows = [
        (bucket, _num_tests(models), *_against_popular(metric, {name: models.get(name, {}) for name in names}))
        for bucket, models in buckets.items()
    ]
    note = f"The best of each row is bold; below a figure stands by how much it differs from {_POPULAR}."
    table = Table(words.title, ("history", "tests", *names), rows, note=note)
    return Section("history", "By length of history", charts=[line_chart(words, ticks, lines)], tables=[table])


def _num_tests(models: Models) -> float:
    return max((float(row.get("tests", 0)) for row in models.values()), default=0.0)


def _against_popular(metric: str, models: Models) -> list[Cell]:
    """Return a cell a model, below it its difference to popularity on the same tests."""
    popular = models.get(_POPULAR, {}).get(metric)
    compared = {name: row[metric] for name, row in models.items() if name != _POPULAR and metric in row}
    return [
        cell._replace(below="" if popular is None or name not in compared else difference(compared[name], popular))
        for name, cell in zip(models, cells(metric, models), strict=True)
    ]


def _learning(answer: Answer) -> Section | None:
    curves: Mapping[str, Mapping[str, Line]] = answer.get("learning_curves") or {}
    charts = []
    for figure in dict.fromkeys(name for figures in curves.values() for name in figures):
        lines = {model: figures[figure] for model, figures in curves.items() if figure in figures}
        words = Words(
            f"{figure} by epoch", "epoch (passes over the training data)", figure,
            "Where a line goes flat the model has learnt what it can; where one of validation turns, further epochs "
            "only learn by heart.",
        )  # fmt: skip
        charts.append(line_chart(words, range(1, max(map(len, lines.values())) + 1), lines))
    return Section("learning", "Learning curves", charts=charts) if charts else None


def _coverage(answer: Answer) -> Section | None:
    models = models_of(answer["models"])
    metric = next((name for name in ("coverage@10", "coverage@5") if name in metrics_in(models)), None)
    if metric is None:
        return None
    words = Words(
        f"{metric} by model", "share of the catalogue that stood in any list", "",
        "Low means that everybody sees the same few courses. More is not better by itself: courses at random would "
        "cover all.",
    )  # fmt: skip
    lengths = {name: row[metric] for name, row in models.items() if metric in row}
    return Section("coverage", "Coverage", charts=[bar_chart(words, lengths, are_shares=True)])


def _ablations(answer: Answer) -> Section | None:
    variants = models_of(answer.get("ablations") or {})
    if not variants:
        return None
    columns = metrics_in(variants)
    by_metric = [cells(metric, variants) for metric in columns]
    rows = [(name, *figures) for name, *figures in zip(variants, *by_metric, strict=True)]
    note = (
        "What a figure falls by when a part is left out is what the part is worth: `_change`, on the same tests. One "
        "whose interval holds 0 shows no difference. The best of each column is bold."
    )
    return Section("ablations", "Ablations", tables=[Table("Ablations", ("variant", *columns), rows, note=note)])


_SECTIONS: Final[tuple[Callable[[Answer], Section | None], ...]] = (
    _metrics, _over_time, _history, _learning, _coverage, _ablations,
)  # fmt: skip
