"""What `make bench` runs, speeds and sizes each beside a reference of the same run, and the document of it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bench import tables
from bench.document import machines
from bench.results import Result
from bench.suite import Bench, Part

SPEED: Final = (
    Bench(
        "lookup",
        "figures",
        "Look-ups",
        "Lists of an authenticated caller over HTTP, 32 connections that are kept, one process of the API. `ratio`: "
        "throughput against a bare ASGI application that answers a constant, against the same list in plain FastAPI "
        "with a response model and redis.asyncio, and against our own route without its fast lane, turn by turn. "
        "Latencies are those of an open loop at half the greatest load, counted from when a request was due, so "
        "that no wait is left out by a client that waits itself.",
        (Part("all", "bench lookup", 3),),
    ),
    Bench(
        "freshness",
        "figures",
        "Freshness",
        "Enrolments at a fixed rate, whatever the answers: milliseconds from the acknowledgement to a look-up that has "
        "the event in, and (`due`) from when the event was to be sent, which counts every wait. The client is a "
        "process of its own, on the same two cores as Kafka, Redis, API, two workers and trainer.",
        (Part("all", "bench freshness", 3),),
    ),
    Bench(
        "pipeline",
        "figures",
        "The stream",
        "Events of learners by Zipf's law, until all are merged and no list is behind: one worker on a core of its "
        "own, beside a Faust agent that does nothing on the same log and core. Then a backlog that two workers find.",
        (Part("all", "bench pipeline", 6),),
    ),
    Bench(
        "replay",
        "figures",
        "Replay",
        "A log into a new generation, beside a consumer that decodes the same log and drops it, turn by turn; a log of "
        "half the size first: where a replay is linear, both are as fast.",
        (Part("all", "bench replay", 4),),
    ),
    Bench(
        "ingest",
        "figures",
        "Ingest",
        "Batches of 100 events over HTTP, each acknowledged by Kafka, beside a bare producer of the same records.",
        (Part("all", "bench ingest", 2),),
    ),
    Bench(
        "training",
        "figures",
        "Training",
        "Pairs a second of the NCF paper's network by our loop and by a plain Dataset and DataLoader, in turns of one "
        "run with as many threads; and enrolments a second of the network that is served, each among all courses.",
        (Part("all", "bench training", 2),),
    ),
    Bench(
        "growth",
        "rows",
        "Growth",
        "What grows with learners and courses, as CPU time of one process; learners have ten courses each. "
        "docs/scaling.md draws the conclusions.",
        (Part("all", "bench growth", 4),),
    ),
)

_HEAD: Final = """\
# Performance

Made by `make bench` from runs of the command line, one after the other. Ratios were measured within one run and say
more than seconds: what else the machine does slows both. Everything of a bench, its load too, is on the machine below.
"""


def performance(results: Sequence[Result]) -> str:
    """Return the document; benches without a result are named as not measured."""
    by_name = {one.bench: one for one in results}
    parts = [_HEAD, machines(results)]
    missing = [bench.title for bench in SPEED if bench.name not in by_name]
    if missing:
        parts.append(f"Not measured yet: {'; '.join(missing)}.\n")
    parts += [_section(bench, by_name[bench.name]) for bench in SPEED if bench.name in by_name]
    return "\n".join(parts)


def _section(bench: Bench, result: Result) -> str:
    commit = result.machine.get("commit", "")
    run = f"`{result.call}`: {result.seconds:,.0f} s, {result.moment:%Y-%m-%d}, commit {commit}."
    if result.error:
        shown = [f"Failed: {result.error}"]
    else:
        found = result.answer["bench"][bench.name]
        shown = _figures(found) if bench.kind == "figures" else _rows(found)
    return "\n\n".join([f"## {bench.title}", bench.words, *shown, run]) + "\n"


def _figures(found: Mapping[str, Any]) -> list[str]:
    """Return a table of figures by name, and what is a drawing."""
    figures = [(name.replace("_", " "), _said(value)) for name, value in found.items() if not isinstance(value, str)]
    drawings = [f"```\n{value}\n```" for value in found.values() if isinstance(value, str)]
    return [tables.markdown(("figure", "#value"), figures), *drawings]


def _rows(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a table with a column for each size, and one of the searches among its courses."""
    looked = [{"courses": one["courses"], **cost} for one in found for cost in one["search"]]
    names = [name for name in found[0] if name != "search"]
    figures = [(name.replace("_", " "), *(_said(one[name]) for one in found)) for name in names]
    sizes = [f"#size {number}" for number in range(1, len(found) + 1)]
    return [tables.markdown(("figure", *sizes), figures), _table(looked)]


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    heads = [name.replace("_", " ") if isinstance(value, str) else f"#{name.replace('_', ' ')}"
             for name, value in rows[0].items()]  # fmt: skip
    return tables.markdown(heads, [[_said(value) for value in row.values()] for row in rows])


def _said(value: object) -> str:
    """Return a figure without digits that say nothing.

    >>> _said(12345.6), _said(0.123456), _said("flat")
    ('12,346', '0.123', 'flat')
    """
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.3g}"
