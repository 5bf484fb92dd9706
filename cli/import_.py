"""`coursestream import`: a folder of courses and events into the log."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from cli.options import STATE_DIR, JsonFile, StateDir
from cli.output import give, pairs
from cli.progress import meter
from cli.system import System, find
from datasets.dataset import Dataset, write_rejects
from datasets.detect import AUTO, LAYOUTS, load
from schemas.errors import ConfigurationError
from schemas.events import AnyEvent

app = typer.Typer(add_completion=False)
AT_FULL_SPEED: Final = "max"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def layout_name(name: str) -> str:
    if name != AUTO and name not in LAYOUTS:
        raise typer.BadParameter(f"there is no layout {name!r}; known are {AUTO}, {', '.join(LAYOUTS)}")
    return name


def _speed(text: str) -> str:
    try:
        if text != AT_FULL_SPEED and not 0 < float(text) < float("inf"):
            raise ValueError
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither `max` nor a number of events a second") from None
    return text


@app.command("import")
def import_(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The folder.")],
    layout: Annotated[
        str, typer.Option(callback=layout_name, metavar="auto|NAME", help=f"{AUTO}, {', '.join(LAYOUTS)}.")
    ] = AUTO,
    speed: Annotated[
        str, typer.Option(callback=_speed, metavar="max|N", help="At most N events a second, or as fast as it goes.")
    ] = AT_FULL_SPEED,
    shift_to_now: Annotated[
        bool,
        typer.Option(
            "--shift-to-now",
            help="Move all events in time so that the last one happens now. Event ids stay those of the unmoved "
            "events, so of two shifted imports of a folder the later one counts.",
        ),
    ] = False,
    state_dir: StateDir = STATE_DIR,
    json_file: JsonFile = None,
) -> None:
    """Read a folder, clean it, and publish it in time order.

    Safe to repeat: event ids are derived from the content, and what arrives twice counts once. Rows that cannot be
    read go to a rejects file with their line and reason; if there are no others, the exit status is 1. Needs Kafka, but
    no worker.
    """
    system = find(state_dir)
    servers = system.kafka
    started = time.monotonic()
    with meter(f"reading {path}"):
        dataset = load(path, layout)
        timeline = _shifted_to_now(dataset.timeline()) if shift_to_now else dataset.timeline()
    rate = None if speed == AT_FULL_SPEED else float(speed)
    published_s = asyncio.run(_publish(servers, dataset, timeline, rate))
    answer = {
        "layout": dataset.layout,
        "courses": len(dataset.courses),
        "learners": dataset.num_learners,
        "events": len(dataset.events),
        "profiles": len(dataset.learners),
        "rejected": len(dataset.rejects),
        "rejects_file": _write_rejects(system, dataset, path),
        "report": dataset.report,
        "events_per_s": round(len(timeline) / max(published_s, 1e-3), 1),
        "seconds": round(time.monotonic() - started, 3),
    }
    give(answer, json_file, pairs(answer))
    if dataset.rejects and not (dataset.courses or dataset.events or dataset.learners):
        raise ConfigurationError(f"no row of {path} can be read: {answer['rejects_file']} says why")


def _shifted_to_now(timeline: Sequence[AnyEvent]) -> list[AnyEvent]:
    """Return the events, moved in time so that the last happens now."""
    if not timeline:
        return []
    shift_us = time.time_ns() // 1_000 - timeline[-1].occurred_us
    return [
        msgspec.structs.replace(event, occurred_at=_EPOCH + timedelta(microseconds=event.occurred_us + shift_us))
        for event in timeline
    ]


async def _publish(servers: str, dataset: Dataset, timeline: Sequence[AnyEvent], rate: float | None) -> float:
    """Publish courses, then events; return the seconds the events took."""
    from adapters.follow import Catalogue
    from stream.publisher import open_publisher, publish_courses, publish_events

    async with Catalogue(servers) as catalogue:
        known = catalogue.courses
    async with open_publisher(servers) as producer:
        await publish_courses(producer, [new for new in dataset.courses if known.get(new.course_id) != new])
        started = time.monotonic()
        with meter("publishing events", len(timeline)) as progress:
            await publish_events(producer, timeline, rate, progress.advance)
        return time.monotonic() - started


def _write_rejects(system: System, dataset: Dataset, path: Path) -> str | None:
    if not dataset.rejects:
        return None
    folder = system.state_dir / "rejects"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{path.resolve().name}.csv"
    write_rejects(dataset, target)
    return str(target)
