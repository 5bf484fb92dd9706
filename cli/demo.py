"""`coursestream demo`: a running system with learners in it, a live screen, the page, and the calls to try on it."""

import asyncio
import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TextIO

import typer
from rich.console import Console

from cli.options import STATE_DIR, StateDir

if TYPE_CHECKING:
    from datasets.campus import Campus
    from deploy.up import UpOptions

app = typer.Typer(add_completion=False)

LOG: Final = "demo.log"
LEARNERS: Final = 1_500
COURSES: Final = 300
SEED: Final = 1
SETTINGS: Final = {
    "CALM_SECONDS": "1", "CALM_MAX_WAIT_SECONDS": "4", "REFIT_MINUTES": "0.75", "TRAIN_DIMENSIONS": "32",
}  # fmt: skip
"""A small campus that is to be seen learning: trained at once, refitted soon. What the environment says goes first."""


@app.command()
def demo(
    data: Annotated[
        Path | None, typer.Option(metavar="PATH", help="A folder of courses and events in place of the campus.")
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Whether to open the learners' page.")] = True,
    workers: Annotated[int, typer.Option(min=1, metavar="N", help="Stream workers.")] = 2,
    port: Annotated[int, typer.Option(min=0, max=65_535, metavar="P", help="Port of the API; 0: a free one.")] = 8_000,
    rate: Annotated[float, typer.Option(min=0.1, metavar="R", help="Events a second of the campus.")] = 25.0,
    state_dir: StateDir = STATE_DIR,
) -> None:
    """Do what `up` does, with a simulated campus or with data, on a live screen. Ctrl-C stops everything.

    The campus's learners read their lists and enrol; a third each is shown the hybrid list, the popular one, and random
    courses, and the screen says how satisfied they are.
    """
    from deploy.up import UpOptions

    options = UpOptions(state_dir, data=data, workers=workers, port=port)
    if data is None:
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
    raise typer.Exit(asyncio.run(_demo(options, rate, browser)))


async def _demo(options: "UpOptions", rate: float, browser: bool) -> int:
    from cli.show import Show
    from deploy.up import up

    console = Console(highlight=False)
    show = Show(console, options.state_dir, rate, browser, _campus() if options.data is None else None)
    with ExitStack() as stack:
        log: TextIO | None = None
        if console.is_terminal:  # the processes' lines would run through the screen
            options.state_dir.mkdir(parents=True, exist_ok=True)
            path = options.state_dir / LOG
            log = stack.enter_context(path.open("a"))
            console.print(f"starting Kafka, Redis, workers, trainer and API; what they say is in {path}")
        status = await up(options, show.run, log)
    show.say_goodbye()
    return status


def _campus() -> "Campus":
    from datasets.campus import Campus

    return Campus(COURSES, LEARNERS, SEED)
