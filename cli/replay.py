"""`coursestream replay`: the state rebuilt from the log."""

import asyncio
import signal
from collections.abc import Awaitable
from dataclasses import asdict
from typing import Annotated, TypeVar

import typer

from cli.options import STATE_DIR, JsonFile, Moment, StateDir
from cli.output import give, pairs
from cli.progress import meter
from cli.system import find
from schemas.errors import NotReadyError

app = typer.Typer(add_completion=False)
T = TypeVar("T")


async def _until_told_to_end(work: Awaitable[T]) -> T:
    """Await the work; SIGTERM ends it as Ctrl-C does, so that it cleans up behind itself."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise NotReadyError("the replay was told to end; nothing of it is left") from None


@app.command()
def replay(
    until: Moment = None,
    swap: Annotated[bool, typer.Option("--swap", help="Put the rebuilt generation live, with its lists.")] = False,
    accept_difference: Annotated[
        bool, typer.Option("--accept-difference", help="Swap even if the rebuilt state differs from the live one.")
    ] = False,
    state_dir: StateDir = STATE_DIR,
    json_file: JsonFile = None,
) -> None:
    """Rebuild all learners' state from the log into a new generation, beside the live one.

    It stands there until the next replay; whatever else becomes of this one, nothing of it stays. --until stops at an
    append time; such a state of the past can't be swapped in, and is not kept if a learner was erased since.
    """
    if swap and until is not None:
        raise typer.BadParameter("--until gives a state of the past, which can't be swapped in: leave out --swap")
    from stream.replay import rebuild

    connections = find(state_dir).connections()
    with meter("replaying") as progress:
        result = asyncio.run(
            _until_told_to_end(
                rebuild(
                    connections,
                    until_ms=until,
                    swap=swap,
                    accept_difference=accept_difference,
                    progress=progress.reach,
                )
            )
        )
    answer = asdict(result)
    give(answer, json_file, pairs(answer))
