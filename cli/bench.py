"""`coursestream bench`: how fast it is here, each figure beside a reference from the same run."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.text import Text

from cli.options import JsonFile
from cli.output import give, pairs, table
from schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.children import Job
    from bench.results import Result
    from bench.suite import Bench

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Measure on this machine. Ratios within one run say more than seconds: other work on the machine slows both."""


@app.command()
def training(
    seconds: Annotated[float, typer.Option(min=0.1, help="A turn of each loop, of five turns.")] = 4.0,
    threads: Annotated[int, typer.Option(min=1, help="Threads of both loops.")] = min(2, os.cpu_count() or 1),
    json_file: JsonFile = None,
) -> None:
    """Train a network of the NCF paper by our loop and by a plain Dataset and DataLoader; pairs a second and ratio."""
    from bench.training import measure
    from trainer.settings import load_settings

    found = measure(load_settings(train_threads=threads), seconds)._asdict()
    give({"bench": {"training": found}}, json_file, pairs(found))


@app.command()
def pipeline(
    events: Annotated[int, typer.Option(min=1_000, help="Events that one worker takes in.")] = 60_000,
    backlog: Annotated[int, typer.Option(min=1_000, help="Events that wait for two workers.")] = 500_000,
    json_file: JsonFile = None,
) -> None:
    """Merge events of learners by Zipf's law and make their lists anew, beside a Faust agent that does nothing."""
    from bench.pipeline import measure

    found = measure(events, backlog)._asdict()
    give({"bench": {"pipeline": found}}, json_file, pairs(found))


@app.command()
def replay(
    events: Annotated[int, typer.Option(min=1_000, help="Events of the log; half of them first.")] = 300_000,
    json_file: JsonFile = None,
) -> None:
    """Replay a log into a new generation, beside a consumer that decodes the same log and drops it."""
    from bench.replay import measure

    found = measure(events)._asdict()
    give({"bench": {"replay": found}}, json_file, pairs(found))


@app.command()
def freshness(
    rate: Annotated[int, typer.Option(min=1, help="Events a second, whatever the answers.")] = 500,
    seconds: Annotated[float, typer.Option(min=1, help="How long they come.")] = 30.0,
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Where the histogram goes, as text.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Enrol learners over HTTP at a fixed rate, and time each from its acknowledgement to a list that has it in."""
    from bench.freshness import measure

    found = measure(rate, seconds)
    if plot is not None:
        plot.write_text(found.histogram + "\n")
    figures = {name: value for name, value in found._asdict().items() if name != "histogram"}
    give({"bench": {"freshness": found._asdict()}}, json_file, Group(pairs(figures), Text(found.histogram)))


@app.command()
def ingest(
    events: Annotated[int, typer.Option(min=1_000, help="Events of each of four turns.")] = 20_000,
    json_file: JsonFile = None,
) -> None:
    """Post events in batches of 100 that Kafka acknowledges, beside a bare producer of the same records."""
    from bench.ingest import measure

    found = measure(events)._asdict()
    give({"bench": {"ingest": found}}, json_file, pairs(found))


@app.command()
def lookup(
    seconds: Annotated[float, typer.Option(min=0.5, help="A turn of the load at each server.")] = 3.0,
    turns: Annotated[int, typer.Option(min=1, help="Turns of each.")] = 5,
    json_file: JsonFile = None,
) -> None:
    """Look lists up over HTTP by 32 connections: against a bare ASGI constant, and the same in plain FastAPI.

    Starts and stops a Kafka, a Redis and the servers of its own. Then, at half the greatest load, the latency from when
    each request was due.
    """
    from bench.lookup import measure

    found = measure(seconds, turns)._asdict()
    give({"bench": {"lookup": found}}, json_file, pairs(found))


@app.command()
def catalogue(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The folder, in any layout that `import` reads.")],
    json_file: JsonFile = None,
) -> None:
    """Look up each course's nearest courses by text: how many share its category or level, and how many by chance."""
    from bench.catalogue import measure
    from datasets.detect import load

    found = measure(load(path).courses)
    rows = [(label, *one.values()) for label, one in found["labels"].items()]
    columns = ("label", "#courses", "#labels", "#share of the nearest", "#by chance", "#without neighbours")
    give({"bench": {"catalogue": found}}, json_file, table(columns, rows))


@app.command()
def growth(
    learners: Annotated[
        int, typer.Option(min=30, help="The largest number; a tenth and a third of it, too.")
    ] = 100_000,
    courses: Annotated[int, typer.Option(min=30, help="The largest number; a tenth and a third of it, too.")] = 10_000,
    fit: Annotated[bool, typer.Option(help="Fit the item-item weights; otherwise they are drawn.")] = True,
    json_file: JsonFile = None,
) -> None:
    """Measure what grows with learners and courses: bytes of Redis, and CPU of lists, a start, a fit and a search.

    Learners have ten courses each. The defaults take four minutes. A million learners and 200,000 courses need 8 GB and
    three quarters of an hour, half of it for the item-item weights, which --no-fit leaves out.
    """
    from bench.growth import measure

    found = [measure(max(learners // part, 10), max(courses // part, 10), fit) for part in (10, 3, 1)]
    answer = [{**one._asdict(), "search": [cost._asdict() for cost in one.search]} for one in found]
    names = [name for name in answer[0] if name != "search"]
    figures = [(name.replace("_", " "), *(one[name] for one in answer)) for name in names]
    looked = [(one.courses, *cost) for one in found for cost in one.search]
    costs = ("#courses", "index", "#recall@100", "#ms", "#build s")
    give(
        {"bench": {"growth": answer}},
        json_file,
        Group(table(("figure", "#a tenth", "#a third", "#whole"), figures), table(costs, looked)),
    )


@app.command()
def quality(
    data: Annotated[Path, typer.Option(metavar="DIR", help="The folder of the folders of real data.")] = Path(
        "../shared/data"
    ),
    only: Annotated[str, typer.Option(metavar="A,B", help="These benches; all by default.")] = "",
    into: Annotated[Path, typer.Option(metavar="FILE", help="The document, made from all results kept.")] = Path(
        "docs/benchmarks.md"
    ),
    jobs: Annotated[int, typer.Option(min=1, metavar="N", help="Children at once, a thread each.")] = 2,
    limit: Annotated[int, typer.Option(min=0, metavar="N", help="At most so many tests each: for a quick look.")] = 0,
    kept: Annotated[Path, typer.Option(metavar="DIR", help="Where results are kept.")] = Path(".benchmarks"),
    json_file: JsonFile = None,
) -> None:
    """Measure the quality of all models on real data, about an hour on two cores, and write the document.

    Each part is a call of this command line in a process of its own. A part that fails is named in the document with
    its error, the others go on, and the exit status is 1. What is run anew with --only replaces its results.
    """
    from bench.children import Job
    from bench.document import document
    from bench.results import read_results
    from bench.suite import SUITE

    if not data.is_dir():
        raise ConfigurationError(f"there is no folder {data}: name that of the real data by --data (make: DATA=path)")
    chosen = [Job(bench, part, data, limit, kept) for bench in _chosen(SUITE, only) for part in bench.parts]
    results = _run(chosen, jobs, kept)
    into.parent.mkdir(parents=True, exist_ok=True)
    into.write_text(document(read_results(kept, SUITE)), encoding="utf-8")
    answer = [{"bench": one.bench, "part": one.part, "seconds": one.seconds, "error": one.error} for one in results]
    _give(results, {"quality": answer}, json_file)


@app.command("all")
def whole(
    only: Annotated[str, typer.Option(metavar="A,B", help="These benches; all by default.")] = "",
    into: Annotated[Path, typer.Option(metavar="FILE", help="The document, made from all results kept.")] = Path(
        "docs/performance.md"
    ),
    kept: Annotated[Path, typer.Option(metavar="DIR", help="Where results are kept.")] = Path(".bench"),
    json_file: JsonFile = None,
) -> None:
    """Measure speeds and sizes, one bench after the other, about a quarter of an hour, and write the document.

    Nothing else should run on the machine. A bench that fails is named in the document with its error, the others go
    on, and the exit status is 1. What is run anew with --only replaces its results.
    """
    from bench.children import Job
    from bench.results import read_results
    from bench.speed import SPEED, performance

    results = _run([Job(bench, bench.parts[0], None, 0, kept) for bench in _chosen(SPEED, only)], 1, kept)
    into.parent.mkdir(parents=True, exist_ok=True)
    into.write_text(performance(read_results(kept, SPEED)), encoding="utf-8")
    _give(results, {one.bench: one.answer["bench"][one.bench] for one in results if not one.error}, json_file)


def _chosen(suite: "Sequence[Bench]", only: str) -> "list[Bench]":
    """Return the benches of these names, all without any; BadParameter for one that is not there."""
    known = [bench.name for bench in suite]
    names = [name.strip() for name in only.split(",") if name.strip()] or known
    for name in names:
        if name not in known:
            raise typer.BadParameter(f"there is no bench {name!r}; known are {', '.join(known)}", param_hint="--only")
    return [bench for bench in suite if bench.name in names]


def _run(jobs: "Sequence[Job]", at_once: int, kept: Path) -> "list[Result]":
    from bench.children import run_all

    kept.mkdir(parents=True, exist_ok=True)
    return run_all(jobs, at_once, lambda said: print(said, file=sys.stderr, flush=True))


def _give(results: "Sequence[Result]", answer: dict[str, object], json_file: str | None) -> None:
    """Say what each part came to; exit with 1 if one failed."""
    rows = [(f"{one.bench}, {one.part}", one.seconds, one.error or "done") for one in results]
    give({"bench": answer}, json_file, table(("part", "#seconds", "came to"), rows))
    if any(one.error for one in results):
        raise typer.Exit(1)
