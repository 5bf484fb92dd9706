"""The report of an evaluation: the answer as JSON, the metrics as a table, recall over time as a curve."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from matplotlib.figure import Figure

Curves = Mapping[str, Sequence[float]]


def markdown_table(models: Mapping[str, Mapping[str, float]]) -> str:
    """Return a row a model and a column a metric.

    >>> print(markdown_table({"popular": {"recall@10": 0.5, "tests": 4.0}}))
    | model | recall@10 | tests |
    |---|---|---|
    | popular | 0.5000 | 4 |
    """
    columns = list(next(iter(models.values()), {}))
    lines = [["model", *columns], ["---"] * (len(columns) + 1)]
    for name, metrics in models.items():
        lines.append([name, *(_cell(column, metrics[column]) for column in columns)])
    heads = [f"| {' | '.join(line)} |" if place != 1 else f"|{'|'.join(line)}|" for place, line in enumerate(lines)]
    return "\n".join(heads)


def _cell(column: str, value: float) -> str:
    return f"{value:.0f}" if column.startswith("tests") else f"{value:.4f}"


def draw_curves(path: Path, title: str, curves: Curves) -> None:
    """Draw recall@10 over time, one line a model; windows hold the same number of tests."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for name, curve in curves.items():
        axes.plot(range(1, len(curve) + 1), curve, marker="o", markersize=3, label=name)
    axes.set(title=title, xlabel="tests, in twentieths, oldest first", ylabel="recall@10")
    axes.set_xticks(range(1, max(map(len, curves.values()), default=0) + 1))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=len(curves), frameon=False)
    figure.savefig(path, dpi=120)


def write_report(folder: Path, answer: Mapping[str, Any]) -> None:
    """Write `evaluation.json`, `evaluation.md` and `curve.png` into a folder, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    title = f"{answer['dataset']}, {answer['protocol']}"
    (folder / "evaluation.json").write_bytes(msgspec.json.format(msgspec.json.encode(answer)))
    text = f"# {title}\n\n{markdown_table(answer['models'])}\n\n![recall@10 over time](curve.png)\n"
    (folder / "evaluation.md").write_text(text)
    draw_curves(folder / "curve.png", title, answer["curves"])
