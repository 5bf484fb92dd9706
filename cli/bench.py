"""`coursestream bench`: how fast it is here, each figure beside a reference from the same run."""

import os
from typing import Annotated

import typer

from cli.options import JsonFile
from cli.output import give, pairs

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Measure on this machine. Ratios within one run say more than seconds: other work on the machine slows both."""


@app.command()
def training(
    seconds: Annotated[float, typer.Option(min=0.1, help="A turn of each loop, of five turns.")] = 4.0,
    threads: Annotated[int, typer.Option(min=1, help="Threads of both loops.")] = min(2, os.cpu_count() or 1),
    json_file: JsonFile = None,
) -> None:
    """Train a network of the NCF paper by our loop and by a plain Dataset and DataLoader; pairs a second and ratio."""
    from bench.training import measure
    from trainer.settings import load_settings

    found = measure(load_settings(train_threads=threads), seconds)._asdict()
    give({"bench": {"training": found}}, json_file, pairs(found))
