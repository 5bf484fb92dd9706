"""`coursestream replay`: the state rebuilt from the log."""

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer

from cli.options import STATE_DIR, JsonFile, Moment, StateDir
from cli.output import give, pairs
from cli.progress import meter
from cli.system import find

app = typer.Typer(add_completion=False)


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
            rebuild(
                connections,
                until_ms=until,
                swap=swap,
                accept_difference=accept_difference,
                progress=progress.reach,
            )
        )
    answer = asdict(result)
    give(answer, json_file, pairs(answer))
