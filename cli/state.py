"""`coursestream state`: questions about all learners' state."""

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer

from cli.options import STATE_DIR, JsonFile, Moment, StateDir
from cli.output import give, pairs
from cli.system import find
from stream.digest import digest_as_of, live_digest

app = typer.Typer(add_completion=False)


@app.callback()
def state() -> None:
    """Questions about all learners' state."""


@app.command()
def digest(
    generation: Annotated[int | None, typer.Option(min=0, metavar="G", help="Another one than the live one.")] = None,
    as_of: Moment = None,
    state_dir: StateDir = STATE_DIR,
    json_file: JsonFile = None,
) -> None:
    """Print a digest of every learner's registers: equal for equal state, however it came about.

    --as-of folds the log up to an append time in memory, without Redis; who was erased later is part of that digest,
    as of the one that was taken then.
    """
    if generation is not None and as_of is not None:
        raise typer.BadParameter("--as-of reads the log, which has no generations: leave out --generation")
    system = find(state_dir)
    connections = system.connections(redis=as_of is None)
    computing = live_digest(connections, generation) if as_of is None else digest_as_of(connections, as_of)
    answer = asdict(asyncio.run(computing))
    shown = {**answer, "applied": " ".join(str(offset) for offset in answer["applied"])}
    give(answer, json_file, pairs(shown))
