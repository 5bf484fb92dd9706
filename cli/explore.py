"""`coursestream explore`: a data set looked at before anything is trained on it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.import_ import layout_name
from cli.options import JsonFile
from cli.output import give, pairs
from cli.progress import meter
from datasets.detect import AUTO, LAYOUTS, load

app = typer.Typer(add_completion=False)
PAGE = "exploration.html"


@app.command()
def explore(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The folder, in any layout that `import` reads.")],
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help=f"Write {PAGE} there: one page with plots and tables.")
    ] = None,
    layout: Annotated[
        str, typer.Option(callback=layout_name, metavar="auto|NAME", help=f"{AUTO}, {', '.join(LAYOUTS)}.")
    ] = AUTO,
    json_file: JsonFile = None,
) -> None:
    """Count, measure and draw a folder of courses and events; nothing is sent anywhere.

    Learners over time, sparsity, long tail, ratings, prices, text, outliers, and what cleaning dropped. A folder with
    only a catalogue gives what it can.
    """
    from reports.exploration import explore as figures_of
    from reports.exploration_page import page_of

    with meter(f"reading {path}"):
        dataset = load(path, layout)
    answer = figures_of(dataset, path.resolve().name, datetime.now(UTC))
    if report is not None:
        report.mkdir(parents=True, exist_ok=True)
        (report / PAGE).write_text(page_of(answer), encoding="utf-8")
    give(answer, json_file, pairs(_shown(answer, report)))


def _shown(answer: dict[str, Any], report: Path | None) -> dict[str, object]:
    """Return the figures that fit on a screen."""
    tail, sparsity = answer["long_tail"] or {}, answer["sparsity"] or {}
    return {
        "layout": answer["layout"],
        **answer["counts"],
        "events by type": answer["events_by_type"],
        "sparsity": sparsity.get("sparsity"),
        "share of the top 20 % courses": tail.get("top_20_percent"),
        "rows rejected": answer["cleaning"]["rejected"],
        "report": None if report is None else report / PAGE,
    }
