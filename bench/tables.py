"""Tables of the document, as Markdown: models by metrics with their intervals, and figures in print beside them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from bench.published import Published
from reports.metrics import Metrics, Models, cells, models_of

Columns = Mapping[str, str]
"""Metric -> how it is headed."""

NCF: Final = {
    "hr@10": "HR@10 of 99", "ndcg@10": "NDCG@10 of 99", "hr@10_full": "HR@10 of all", "ndcg@10_full": "NDCG@10 of all",
    "coverage@10": "coverage@10", "novelty@10": "novelty@10",
}  # fmt: skip
SUBSETS: Final = {
    f"{metric}@10{among}_{part}": f"{metric.upper()}@10 of {words}, {part}"
    for among, words in (("", "99"), ("_full", "all"))
    for part in ("ties", "clean")
    for metric in ("hr", "ndcg")
}
STREAM: Final = {
    "recall@10": "recall@10", "ndcg@10": "NDCG@10", "mrr@10": "MRR@10", "recall@10_known": "recall@10, history",
    "recall@10_empty": "recall@10, no history", "coverage@10": "coverage@10", "novelty@10": "novelty@10",
    "similarity@10": "similarity@10",
}  # fmt: skip
RANKED: Final = {
    f"{metric}@{top}": f"{words}@{top}"
    for metric, words in (("precision", "precision"), ("recall", "recall"), ("hr", "HR"), ("ndcg", "NDCG"))
    for top in (5, 10)
}
SHOWN: Final = {
    f"{metric}@{top}": f"{metric}@{top}" for metric in ("coverage", "novelty", "similarity") for top in (5, 10)
}
GRADES: Final = {
    "rmse": "RMSE", "mae": "MAE", "rmse_known": "RMSE, known", "rmse_new": "RMSE, new", "hr@10": "HR@10",
    "ndcg@10": "NDCG@10",
}  # fmt: skip
ABLATION: Final = {
    "recall@10": "recall@10", "recall@10_change": "change", "ndcg@10": "NDCG@10", "ndcg@10_change": "change of NDCG@10",
}  # fmt: skip

ORDER: Final = ("popular", "content", "itemknn", "svd", "ease", "ials", "neumf_id", "neumf", "hybrid")
"""Of models, in every table; here, so that what only writes the document need not wait for torch."""


def markdown(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table; columns whose name begins with `#` are figures, to the right.

    >>> print(markdown(("model", "#n"), [("a|b", 3)]))
    | model | n |
    |---|---:|
    | a\\|b | 3 |
    """
    lines = [[column.removeprefix("#") for column in columns], *rows]
    texts = ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines]
    rule = "|".join("---:" if column.startswith("#") else "---" for column in columns)
    return "\n".join([texts[0], f"|{rule}|", *texts[1:]])


def model_table(rows: Mapping[str, Mapping[str, Any]], columns: Columns) -> str:
    """Return a row a model and a column for each of the metrics that any of them has, the best in bold; or nothing.

    >>> print(model_table({"ease": {"mae": 0.25}, "hybrid": {"mae": 0.125}}, {"mae": "MAE", "rmse": "RMSE"}))
    | model | MAE |
    |---|---:|
    | `ease` | 0.2500 |
    | `hybrid` | **0.1250** |
    """
    models = in_order({name: _rounded(row) for name, row in models_of(rows).items()})
    wanted = {metric: head for metric, head in columns.items() if any(metric in row for row in models.values())}
    if not wanted:
        return ""
    by_metric = [_column(metric, models) for metric in wanted]
    figures = zip(models, *by_metric, strict=True)
    return markdown(
        ("model", *(f"#{head}" for head in wanted.values())), ((f"`{name}`", *row) for name, *row in figures)
    )


def _rounded(row: Metrics) -> Metrics:
    """Return metrics to four places: what is smaller is noise. Ends of intervals are rounded where they are shown."""
    return {metric: value if metric.endswith(("_low", "_high")) else round(value, 4) for metric, value in row.items()}


def in_order(models: Mapping[str, Metrics]) -> Models:
    """Return models in the order in which they are always listed, each with its ablations after it.

    >>> list(in_order({"hybrid": {}, "neumf, no dropout": {}, "neumf": {}, "grades": {}}))
    ['neumf', 'neumf, no dropout', 'hybrid', 'grades']
    """
    places = {name: place for place, name in enumerate(ORDER)}

    def place(name: str) -> tuple[int, bool]:
        whole, comma, _ = name.partition(", ")
        return places.get(whole, len(places)), bool(comma)

    return {name: models[name] for name in sorted(models, key=place)}


def _column(metric: str, models: Models) -> list[str]:
    found = cells(metric, models)
    is_contest = "change" not in metric and not all(cell.is_best for cell in found)
    return [_cell(cell.text, cell.below, cell.is_best and is_contest) for cell in found]


def _cell(text: str, interval: str, is_best: bool) -> str:
    figure = f"**{text}**" if is_best else text
    return f"{figure} [{interval.replace('–', ', ')}]" if interval else figure


def bucket_table(buckets: Mapping[str, Mapping[str, Mapping[str, Any]]], metric: str) -> str:
    """Return a row a length of history and a column a model, over the same tests; the best of each row in bold."""
    names = list(in_order({name: {} for models in buckets.values() for name in models}))
    rows = []
    for bucket, models in buckets.items():
        found = models_of({name: models.get(name, {}) for name in names})
        tests = max(int(row.get("tests", 0)) for row in found.values())
        rows.append((bucket, f"{tests:,}", *_column(metric, found)))
    return markdown(("courses taken", "#tests", *(f"#`{name}`" for name in names)), rows)


def published_table(figures: Sequence[Published]) -> str:
    """Return figures in print, a row a model, as far as they were read under the bench's own protocol first."""
    metrics = list(dict.fromkeys(metric for one in figures for metric in one.metrics))
    rows = [
        (
            one.model,
            *(f"{one.metrics[metric]:g}" if metric in one.metrics else "–" for metric in metrics),
            one.source,
            "; ".join((*(() if one.read else ("recollected, not checked",)), *((one.note,) if one.note else ()))),
        )
        for one in sorted(figures, key=lambda one: (not one.same, not one.read))
    ]
    heads = [{**NCF, "pairs_per_s": "pairs a second"}.get(metric, metric) for metric in metrics]
    return markdown(("in print", *(f"#{head}" for head in heads), "source", "but"), rows)
