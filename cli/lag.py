"""`coursestream lag`: how far the state is behind the log."""

import asyncio
from typing import Annotated, Final

import typer
from rich.console import Group, RenderableType
from rich.live import Live

from cli.options import STATE_DIR, JsonFile, StateDir
from cli.output import STANDARD_OUTPUT, console, give, table
from cli.system import find
from schemas.settings import Connections
from stream.lag import Lag, open_lag_reader, read_lag

app = typer.Typer(add_completion=False)

_WATCH_S: Final = 1.0
_COLUMNS: Final = ("topic", "#partition", "#committed", "#applied", "#end", "#lag", "#lag s", "state")


@app.command()
def lag(
    watch: Annotated[bool, typer.Option("--watch", help="Read again every second, until Ctrl-C.")] = False,
    state_dir: StateDir = STATE_DIR,
    json_file: JsonFile = None,
) -> None:
    """Show the lag of each partition: records that wait, and the age of the oldest of them.

    For learner-events it is what the state has not yet applied; for activity, what the workers have not committed.
    """
    connections = find(state_dir).connections()
    if watch:
        asyncio.run(_watch(connections, json_file))
    else:
        read = asyncio.run(read_lag(connections))
        give(read.answer(), json_file, _shown(read))


async def _watch(connections: Connections, json_file: str | None) -> None:
    async with open_lag_reader(connections) as reader:
        if json_file == STANDARD_OUTPUT:
            while True:
                give((await reader.read()).answer(), json_file, "")
                await asyncio.sleep(_WATCH_S)
        with Live(console=console(), auto_refresh=False) as screen:
            while True:
                screen.update(_shown(await reader.read()), refresh=True)
                await asyncio.sleep(_WATCH_S)


def _shown(read: Lag) -> RenderableType:
    rows = [
        (one.topic, one.partition, one.committed, one.applied, one.end, one.lag, one.lag_s, one.state)
        for one in read.partitions
    ]
    return Group(table(_COLUMNS, rows), f"{read.lag:,} records wait, the oldest for {read.max_lag_s:,.1f} s")
