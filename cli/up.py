"""`coursestream up`: a whole system on one machine."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from cli.options import STATE_DIR, StateDir

app = typer.Typer(add_completion=False)


@app.command()
def up(
    state_dir: StateDir = STATE_DIR,
    data: Annotated[Path | None, typer.Option(metavar="PATH", help="A folder to import once the API serves.")] = None,
    workers: Annotated[int, typer.Option(min=1, metavar="N", help="Stream workers; at most as many as shards.")] = 2,
    port: Annotated[int, typer.Option(min=0, max=65_535, metavar="P", help="Port of the API; 0: a free one.")] = 8_000,
    nodes: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Kafka brokers, and as many Redis nodes as a cluster; 3 bear a loss."),
    ] = 1,
    apis: Annotated[
        int, typer.Option(min=1, metavar="N", help="Processes of the API, on ports from P on: for a load balancer.")
    ] = 1,
    ready_file: Annotated[
        Path | None, typer.Option("--ready-file", metavar="F", help="Also written with what `ready.json` holds.")
    ] = None,
) -> None:
    """Start Kafka, Redis, workers, trainer and API, and supervise them until Ctrl-C or SIGTERM.

    Kafka and Redis are embedded, unless KAFKA_BOOTSTRAP_SERVERS or REDIS_URL name others. State survives in the state
    directory. A folder that was imported there before is not imported again.
    """
    from deploy.up import UpOptions
    from deploy.up import up as run_up

    options = UpOptions(state_dir, data=data, workers=workers, port=port, ready_file=ready_file, nodes=nodes, apis=apis)
    raise typer.Exit(asyncio.run(run_up(options)))
