"""`coursestream evaluate`: the models on a folder of events, offline: no Kafka, no Redis."""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli.options import JsonFile
from cli.output import give, table
from cli.progress import meter
from datasets.dataset import Dataset
from datasets.detect import load

if TYPE_CHECKING:
    from trainer.protocols import Plan

app = typer.Typer(add_completion=False)
STREAMED = ("prequential", "temporal")
_SHOWN = ("recall@10", "ndcg@10", "mrr@10", "coverage@10", "novelty@10", "recall@10_known", "recall@10_empty")
_COLUMNS = {
    "ncf": ("hr@10", "ndcg@10", "hr@10_full", "ndcg@10_full", "coverage@10", "novelty@10"),
    "grades": ("rmse", "mae", "ndcg@10", "rmse_known", "rmse_new"),
}


@app.command()
def evaluate(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The folder, in any layout that `import` reads.")],
    protocol: Annotated[
        Literal["prequential", "temporal", "ncf", "grades"],
        typer.Option(help="Test, then learn, with refits; one model of the first 90 %; the NCF paper's split; grades."),
    ] = "prequential",
    models: Annotated[str, typer.Option(metavar="A,B", help="Models, comma-separated; all by default.")] = "",
    refit: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Enrolments or grades between two fits; 0: none after the first."),
    ] = None,
    limit: Annotated[int, typer.Option(min=0, metavar="N", help="Tests, evenly spaced; 0: all.")] = 0,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, metavar="K", help="Seed of every random choice.")] = 1,
    hidden: Annotated[
        Literal["taken", "seen"],
        typer.Option("--filter", help="Left out of lists: what was taken, as in serving, or all that was ever met."),
    ] = "taken",
    ablate: Annotated[
        str, typer.Option(metavar="A,B", help="Also `neumf` and `hybrid` with these parts left out; `all`: each.")
    ] = "",
    report: Annotated[Path | None, typer.Option(metavar="DIR", help="Write tables and curves there.")] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML file with settings of the training.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Recommend, check, learn, event by event, with the code that serves; compare the models.

    Every first enrolment of a learner and course is a test once the models are warm: the whole catalogue without what
    the learner has taken is ranked, and ties count against the model. In `ncf` each learner's last course is, among the
    split's 99 others and (`_full`) among all. Intervals are 95 %, by resampling learners.
    """
    started = time.monotonic()
    if ablate and protocol not in STREAMED:
        raise typer.BadParameter(f"ablations are of the protocols {' and '.join(STREAMED)}", param_hint="--ablate")
    if protocol == "grades":
        answer = _of_grades(path, models, refit, limit, seed)
    elif protocol == "ncf":
        if refit is not None:
            raise typer.BadParameter("the protocol ncf fits once", param_hint="--refit")
        answer = _of_split(path, models, limit, seed, config)
    else:
        from trainer.contenders import CONTENDERS
        from trainer.protocols import PROTOCOLS, Plan

        chosen = PROTOCOLS[protocol]
        chosen = chosen if refit is None else chosen._replace(refit=refit)
        plan = Plan(chosen, _names(models, tuple(CONTENDERS)), limit, hidden == "seen", seed)
        answer = _of_stream(path, protocol, plan, config, ablate)
    answer["seconds"] = round(time.monotonic() - started, 3)
    if report is not None:
        _report(report, answer)
    columns = _COLUMNS.get(protocol, _SHOWN)
    rows = [(name, *(_cell(metrics, column) for column in columns)) for name, metrics in answer["models"].items()]
    give(answer, json_file, table(("model", *(f"#{column}" for column in columns)), rows))


def _cell(metrics: dict[str, float], name: str) -> str:
    """Return a metric with its interval, if it has one."""
    if name not in metrics:
        return "–"
    if f"{name}_low" not in metrics:
        return f"{metrics[name]:.3f}"
    return f"{metrics[name]:.3f} [{metrics[f'{name}_low']:.3f}, {metrics[f'{name}_high']:.3f}]"


def _report(folder: Path, answer: dict[str, Any]) -> None:
    from reports.evaluation import write_report

    write_report(folder, answer)


def _names(models: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """Return the models asked for; all of them if none is."""
    names = _listed(models)
    for name in names:
        if name not in known:
            raise typer.BadParameter(f"there is no model {name!r}; known are {', '.join(known)}", param_hint="--models")
    return names or known


def _listed(names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))


def _of_split(path: Path, models: str, limit: int, seed: int, config: Path | None) -> dict[str, Any]:
    from datasets.ncf import read
    from trainer.contenders import CONTENDERS
    from trainer.ncf import SplitEvaluation
    from trainer.settings import load_settings

    settings, names = load_settings(**_given(config)), _names(models, tuple(CONTENDERS))
    with meter(f"reading {path}"):
        split = read(path)
    with meter("evaluating", 1) as progress:
        evaluation = SplitEvaluation(
            split, names, settings, seed, lambda what, done: progress.reach(done, 1, what), limit
        )
        found = evaluation.run()
    events = sum(map(len, split.histories.values())) + len(split.tests)
    return {"protocol": "ncf", "dataset": path.name, "models": found, "events": events}


def _given(config: Path | None) -> dict[str, Any]:
    return {} if config is None else {"train_config": config}


def _read(path: Path) -> Dataset:
    with meter(f"reading {path}"):
        dataset = load(path)
    if dataset.rejects:
        print(
            f"coursestream: {len(dataset.rejects):,} rows of {path} were rejected; `import` writes them to a file",
            file=sys.stderr,
        )
    return dataset


def _of_grades(path: Path, models: str, refit: int | None, limit: int, seed: int) -> dict[str, Any]:
    from trainer.grades_evaluation import MODELS, REFIT, GradesEvaluation, Plan

    plan = Plan(_names(models, MODELS), REFIT if refit is None else refit, limit, seed)
    dataset = _read(path)
    events = dataset.timeline()
    with meter("evaluating", 1) as progress:
        found = GradesEvaluation(dataset.courses, events, plan, lambda what, done: progress.reach(done, 1, what)).run()
    counts = {"events": len(events), "rejected": len(dataset.rejects)}
    return {"protocol": "grades", "dataset": path.name, **found, **counts}


def _of_stream(path: Path, protocol: str, plan: "Plan", config: Path | None, ablate: str) -> dict[str, Any]:
    from trainer.ablation import VARIANTS, variants
    from trainer.protocols import Evaluation
    from trainer.settings import load_settings

    settings = load_settings(**_given(config))
    parts = variants(VARIANTS if ablate == "all" else _listed(ablate), plan.models)
    dataset = _read(path)
    events = dataset.timeline()
    with meter("evaluating", 1) as progress:
        evaluation = Evaluation(
            dataset.courses, events, plan, settings, lambda what, done: progress.reach(done, 1, what), parts
        )
        found = evaluation.run()
    ablations = {"ablations": found.ablations} if parts else {}
    return {
        "protocol": protocol,
        "dataset": path.name,
        "models": {name: board.metrics(found.num_courses) for name, board in found.scoreboards.items()},
        "buckets": found.buckets(),
        "courses": found.num_courses,
        "events": len(events),
        "rejected": len(dataset.rejects),
        "refits": found.refits,
        "curves": {name: board.curve() for name, board in found.scoreboards.items()},
        **ablations,
    }
