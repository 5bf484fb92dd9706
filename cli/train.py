"""`coursestream train`: one refit now."""

import asyncio
import os
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cli.options import STATE_DIR, JsonFile, Moment, StateDir
from cli.output import give, pairs
from cli.progress import meter
from cli.system import find
from trainer.result import TrainResult
from trainer.settings import load_settings
from trainer.train import leads, train_once

app = typer.Typer(add_completion=False)


@app.command()
def train(
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**63 - 1, metavar="K", help="Seed of every random choice.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Publish even a model that is not good enough.")] = False,
    as_of: Moment = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"] | None,
        typer.Option(help="Where the training runs; auto, the default, is CUDA if there is some, else the CPU."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML file with settings; deploy/trainer.toml shows them all.")
    ] = None,
    state_dir: StateDir = STATE_DIR,
    json_file: JsonFile = None,
) -> None:
    """Train a model from the log now, evaluate it, and publish it if it is good enough.

    --as-of uses the log up to an append time. Same offsets and seed give the same digest. With too little in the log
    to train on there is no model, and the exit status is 1. Variables of the environment come before --config.
    Started several times by torchrun, the network is trained by all of them: docs/scaling.md.
    """
    given: dict[str, Any] = {**find(state_dir).addresses(redis=False)}
    if "SNAPSHOT_DIR" not in os.environ:
        given["snapshot_dir"] = state_dir.absolute() / "snapshots"
    if config is not None:
        given["train_config"] = config
    if device is not None:
        given["train_device"] = device
    settings = load_settings(**given)
    call = partial(train_once, settings, seed=seed, force=force, as_of_ms=as_of)
    if not leads():
        asyncio.run(call())
        return  # the first process says what it came to
    with meter("training", 1) as progress:

        def reach(what: str, fraction: float) -> None:
            progress.reach(fraction, what=what)

        result = asyncio.run(call(progress=reach))
    give(result, json_file, pairs(_shown(result)))
    raise typer.Exit(0 if result.version else 1)


def _shown(result: TrainResult) -> dict[str, object]:
    names = [one.against for one in result.comparisons if one.against != "popular"]
    champion = {f"{names[0]}, on the same tests": result.champion_metrics} if names else {}
    return {
        "version": result.version,
        "digest": result.digest,
        "records": sum(map(sum, result.offsets.values())),
        "epochs": result.epochs,
        "metrics": result.metrics,
        **champion,
        "popular, on the same tests": result.popular_metrics,
        "published": result.published,
        "reason": result.reason,
        "seconds": result.seconds,
    }
