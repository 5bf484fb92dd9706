"""`coursestream simulate`: a campus whose true tastes are known, against a running system."""

import asyncio
import os
import signal
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

import typer

from cli.api import get
from cli.options import STATE_DIR, JsonFile, StateDir
from cli.output import give, table
from cli.patient import PatientApi
from cli.simulation import Simulation
from cli.system import System, find
from cli.tokens import sign
from datasets.campus import Campus

app = typer.Typer(add_completion=False)

SCOPES: Final = "reader publisher admin operator"
_TOKEN_S: Final = 7 * 86_400


@app.command()
def simulate(
    learners: Annotated[int, typer.Option(min=1, metavar="N", help="Learners on the campus.")] = 1_500,
    courses: Annotated[int, typer.Option(min=1, metavar="N", help="Courses of the campus.")] = 300,
    rate: Annotated[float, typer.Option(min=0.1, metavar="R", help="About so many events a second.")] = 25.0,
    seconds: Annotated[float | None, typer.Option(min=0, metavar="S", help="How long; else until Ctrl-C.")] = None,
    seed: Annotated[int, typer.Option(min=0, metavar="K", help="Seed of the campus.")] = 1,
    past: Annotated[int, typer.Option(min=0, metavar="N", help="Events of the weeks before, published first.")] = 8_000,
    state_dir: StateDir = STATE_DIR,
    json_file: JsonFile = None,
) -> None:
    """Let learners read their lists from the API, choose by their true taste, and publish what they do.

    A third of the learners sees the hybrid list, a third the popular one, a third random courses. The answer is how
    satisfied they are with what they chose, as a share of the best that was within their reach. Everything goes
    through the API, so a system with other data in it gets the campus's courses and learners besides.
    """
    system = find(state_dir)
    get(system, "/v1/courses/popular", {"limit": 1})  # a system that is not there is said at once
    answer = asyncio.run(_simulate(system, Campus(courses, learners, seed), rate, seconds, past))
    give(answer, json_file, table(*arm_rows(answer)))


def campus_token(system: System) -> str:
    """Return COURSESTREAM_TOKEN, or a token that may publish and read for everybody for days."""
    return os.environ.get("COURSESTREAM_TOKEN") or sign(system.secret(), "campus", SCOPES, _TOKEN_S)


async def _simulate(
    system: System, campus: Campus, rate: float, seconds: float | None, num_past: int
) -> dict[str, Any]:
    """Run until the time is over or a signal comes; return what came of it so far."""
    async with PatientApi(system.api_url, campus_token(system)) as api:
        simulation = Simulation(campus, api, rate)
        running = asyncio.create_task(_run(simulation, seconds, num_past))
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, running.cancel)
        await asyncio.wait({running})
        if not running.cancelled():
            running.result()
        return {**simulation.answer(), "past": num_past}


async def _run(simulation: Simulation, seconds: float | None, num_past: int) -> None:
    """Live for so long, once the past is there."""
    await simulation.prepare(num_past)
    try:
        async with asyncio.timeout(seconds):
            await simulation.run()
    except TimeoutError:
        return


def arm_rows(answer: dict[str, Any]) -> tuple[Sequence[str], Iterable[Sequence[object]]]:
    """Return columns and rows of a table of the arms."""
    rows = [
        (arm, one["decisions"], one["satisfaction"], one["oracle"], one["share"]) for arm, one in answer["arms"].items()
    ]
    return ("arm", "#decisions", "#satisfaction", "#best within reach", "#share"), rows
