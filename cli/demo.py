"""`coursestream demo`: a running system with learners in it, and the calls to try on it."""

import asyncio
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import STATE_DIR, StateDir
from cli.sample import SAMPLE, write_sample

if TYPE_CHECKING:
    from deploy.up import UpOptions

app = typer.Typer(add_completion=False)


@app.command()
def demo(
    data: Annotated[
        Path | None, typer.Option(metavar="PATH", help="A folder of courses and events in place of the small sample.")
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="There is no page yet: nothing is opened either way.")
    ] = True,
    workers: Annotated[int, typer.Option(min=1, metavar="N", help="Stream workers.")] = 2,
    port: Annotated[int, typer.Option(min=0, max=65_535, metavar="P", help="Port of the API; 0: a free one.")] = 8_000,
    state_dir: StateDir = STATE_DIR,
) -> None:
    """Do what `up` does, import data, say when lists and the first trained model are live, and what to try.

    Ctrl-C stops everything.
    """
    del browser
    from deploy.up import UpOptions

    folder = data if data is not None else write_sample(state_dir / SAMPLE)
    raise typer.Exit(asyncio.run(_demo(UpOptions(state_dir, data=folder, workers=workers, port=port))))


async def _demo(options: "UpOptions") -> int:
    from cli.tour import tell
    from deploy.up import up

    started = time.monotonic()
    tours: list[asyncio.Task[None]] = []

    def serve(api_url: str) -> None:
        tours.append(asyncio.create_task(tell(options.state_dir, api_url, started), name="tour"))
        tours[-1].add_done_callback(_say_failure)

    try:
        return await up(options, serve)
    finally:
        for tour in tours:
            tour.cancel()
        await asyncio.gather(*tours, return_exceptions=True)


def _say_failure(tour: "asyncio.Task[None]") -> None:
    """Say why nothing more is told; the system itself runs on."""
    error = None if tour.cancelled() else tour.exception()
    if error:
        print(f"demo: nothing more is told: {error!r}", file=sys.stderr)
