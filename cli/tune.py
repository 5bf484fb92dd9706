"""`coursestream tune`: settings of the training that suit a folder of events, found offline."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli.options import JsonFile
from cli.output import give, table
from cli.progress import meter
from datasets.detect import load

if TYPE_CHECKING:
    from trainer.tune import Score, Trial

app = typer.Typer(add_completion=False)


@app.command()
def tune(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The folder, in any layout that `evaluate` reads.")],
    trials: Annotated[int, typer.Option(min=1, metavar="N", help="Settings to try; the first are those given.")] = 20,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the best so far there, for `--config`.")
    ] = None,
    protocol: Annotated[
        Literal["prequential", "temporal", "ncf"], typer.Option(help="The evaluation whose tests are kept out.")
    ] = "prequential",
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, metavar="K", help="Seed of every random choice.")] = 1,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML file with the settings to begin with.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Search dimensions, decays, loss, negatives, learning rate and item-item settings by NDCG@10 on validation.

    What the tests of `evaluate` with the same protocol look at is never used: half of the enrolments of a stream
    (prequential), the last tenth (temporal), or the test items of a split (ncf).
    """
    from trainer.settings import changed, load_settings
    from trainer.tune import OBJECTIVE, best_of
    from trainer.tune import tune as search

    if out is not None and not out.parent.is_dir():
        raise typer.BadParameter(f"{out.parent} is no folder", param_hint="--out")
    started = time.monotonic()
    settings = load_settings(**({} if config is None else {"train_config": config}))
    with meter(f"reading {path}"):
        score = _score(path, protocol, seed)
    done: list[Trial] = []
    with meter("tuning", trials) as progress:

        def tried(trial: "Trial") -> None:
            done.append(trial)
            if out is not None and best_of(done) is trial:
                _write(out, trial, f"{path.name}, {protocol}")
            progress.reach(len(done), trials, f"tuning, best {best_of(done).score:.4f}")

        search(score, settings, trials, seed, tried)
    best = best_of(done)
    answer: dict[str, Any] = {
        "dataset": path.name,
        "protocol": protocol,
        "trials": [{OBJECTIVE: one.score, "settings": changed(one.settings), "error": one.error} for one in done],
        "best": {"trial": done.index(best), OBJECTIVE: best.score, "settings": changed(best.settings)},
        "seconds": round(time.monotonic() - started, 3),
    }
    rows = [(name, str(value), str(getattr(settings, name))) for name, value in changed(best.settings).items()]
    rows = [(OBJECTIVE, f"{best.score:.4f}", f"{done[0].score:.4f}"), *rows]
    give(answer, json_file, table(("setting", "#best", "#as it was"), rows))


def _score(path: Path, protocol: str, seed: int) -> "Score":
    from datasets import ncf
    from trainer.protocols import PROTOCOLS
    from trainer.tune import score_on_split, score_on_stream

    if protocol == "ncf":
        return score_on_split(ncf.read(path), seed)
    return score_on_stream(load(path), PROTOCOLS[protocol], seed)


def _write(out: Path, trial: "Trial", where: str) -> None:
    from trainer.settings import changed, toml_of
    from trainer.tune import OBJECTIVE

    out.write_text(f"# {OBJECTIVE} {trial.score:.4f} on validation: {where}\n{toml_of(changed(trial.settings))}")
