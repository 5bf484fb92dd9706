"""`coursestream experiments`: learners split between strategies, and what they make of them."""

import asyncio
import re
import secrets
from collections.abc import Sequence
from typing import Annotated, Any, Final, NamedTuple

import msgspec
import typer
from rich.console import Group, RenderableType

from adapters.follow import ControlLog, append_control
from cli.api import get
from cli.options import STATE_DIR, JsonFile, StateDir
from cli.output import give, pairs, table
from cli.system import find
from schemas.candidates import STRATEGIES
from schemas.control import ControlState
from schemas.errors import ConfigurationError
from schemas.experiments import Experiment, ExperimentEnded, ExperimentStarted

app = typer.Typer(add_completion=False)

_ARM: Final = re.compile(r"(?:(?P<name>[^:=]+):)?(?P<strategy>[^:=]+)(?:=(?P<share>[^:=]+))?")
_FIGURES: Final = ("learners", "lists", "clicks", "enrolments", "tests", "hit_rate", "hit_rate_low", "hit_rate_high")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The experiment's name.")]
Reason = Annotated[str, typer.Option("--reason", help="Written beside the decision.")]


class WantedArm(NamedTuple):
    """An arm as it is asked for; `share` None: an equal one."""

    name: str
    strategy: str
    share: float | None


def parse_arm(text: str) -> WantedArm:
    """Return the arm that `[NAME:]STRATEGY[=SHARE]` asks for; without a name it is called as its strategy.

    >>> parse_arm("new:content=0.1"), parse_arm("hybrid")
    (WantedArm(name='new', strategy='content', share=0.1), WantedArm(name='hybrid', strategy='hybrid', share=None))
    """
    found = _ARM.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is not [NAME:]STRATEGY[=SHARE], such as popular=0.1")
    strategy, share = found["strategy"], found["share"]
    if strategy not in STRATEGIES:
        raise typer.BadParameter(
            f"{strategy!r} is no strategy: {', '.join(STRATEGIES)}; versions of a model cannot be arms, "
            "since workers make lists with the live model alone"
        )
    try:
        return WantedArm(found["name"] or strategy, strategy, None if share is None else float(share))
    except ValueError:
        raise typer.BadParameter(f"{share!r} is no share: a number between 0 and 1") from None


Arms = Annotated[
    list[WantedArm],
    typer.Option(
        "--arm", metavar="[NAME:]STRATEGY[=SHARE]", parser=parse_arm,
        help="An arm, at least two; the first is the control; without shares they are equal.",
    ),
]  # fmt: skip
Salt = Annotated[str | None, typer.Option(metavar="TEXT", help="Key of the split; by default a new one is drawn.")]


@app.callback(invoke_without_command=True)
def experiments(context: typer.Context, state_dir: StateDir = STATE_DIR, json_file: JsonFile = None) -> None:
    """Split learners between strategies, and see what they make of them; `list` if nothing is said."""
    if context.invoked_subcommand is None:
        list_experiments(state_dir, json_file)


@app.command("list")
def list_experiments(state_dir: StateDir = STATE_DIR, json_file: JsonFile = None) -> None:
    """List the experiments, the newest first, with what is known of each arm."""
    answer = get(find(state_dir), "/v1/experiments", scope="operator")
    rows = [
        (one["name"], one["state"], one["started_at"][:19], (one["ended_at"] or "")[:19], _arms_of(one), _verdicts(one))
        for one in answer["experiments"]
    ]
    give(answer, json_file, table(("name", "state", "started", "ended", "arms", "verdicts"), rows))


@app.command()
def show(name: Name, state_dir: StateDir = STATE_DIR, json_file: JsonFile = None) -> None:
    """Show what the learners of each arm did, and how the arms compare with the first one.

    Each learner is tested once, by the first enrolment after a list was given. All bounds are of 95 %, however often
    they are looked at.
    """
    listed = get(find(state_dir), "/v1/experiments", scope="operator")["experiments"]
    known = {one["name"]: one for one in listed}
    if name not in known:
        raise _unknown(name)
    give(known[name], json_file, _shown(known[name]))


@app.command()
def start(
    name: Name, arm: Arms, salt: Salt = None, state_dir: StateDir = STATE_DIR, json_file: JsonFile = None
) -> None:
    """Start an experiment: from now on a learner's list is sorted by the strategy of the arm a hash puts him in.

    Requests that name a strategy are answered as before. One experiment runs at a time.
    """
    record = started(name, salt or secrets.token_hex(8), arm)
    experiment = asyncio.run(_start(find(state_dir).kafka, record))
    answer = {**msgspec.to_builtins(experiment.record), "epoch": experiment.epoch}
    del answer["kind"]
    give(answer, json_file, pairs({**answer, "arms": _arms_of(answer)}))


@app.command()
def end(name: Name, reason: Reason = "", state_dir: StateDir = STATE_DIR, json_file: JsonFile = None) -> None:
    """End the experiment that runs: every learner is given the default list again."""
    epoch = asyncio.run(_end(find(state_dir).kafka, ExperimentEnded(name=name, reason=reason)))
    answer: dict[str, object] = {"ended": name, "epoch": epoch}
    give(answer, json_file, pairs(answer))


def started(name: str, salt: str, arms: Sequence[WantedArm]) -> ExperimentStarted:
    """Return the record that starts an experiment; ConfigurationError if it would be no good one."""
    shares = {arm.share for arm in arms}
    if None in shares and len(shares) > 1:
        raise ConfigurationError("either all arms have a share, or none")
    named = [{**arm._asdict(), "share": 1 / len(arms) if arm.share is None else arm.share} for arm in arms]
    record = {"kind": "experiment_started", "name": name, "salt": salt, "arms": named}
    try:
        return msgspec.convert(record, ExperimentStarted)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"this is no experiment: {error}") from None


async def _read(servers: str) -> ControlState:
    async with ControlLog(servers) as control:
        return control.state


async def _start(servers: str, record: ExperimentStarted) -> Experiment:
    state = await _read(servers)
    if state.experiment:
        running = state.experiment.record.name
        raise ConfigurationError(f"experiment {running!r} runs: end it first, or wait; there is one at a time")
    if record.name in state.experiments:
        raise ConfigurationError(f"there was an experiment {record.name!r} before: choose another name")
    epoch = await append_control(servers, record)
    experiment = (await _read(servers)).experiments.get(record.name)
    if experiment is None or experiment.epoch != epoch:
        raise ConfigurationError("another experiment was started at the same moment: this one was not")
    return experiment


async def _end(servers: str, record: ExperimentEnded) -> int:
    state = await _read(servers)
    if record.name not in state.experiments:
        raise _unknown(record.name)
    if state.experiments[record.name].ended_ms is not None:
        raise ConfigurationError(f"experiment {record.name!r} has ended already")
    return await append_control(servers, record)


def _unknown(name: str) -> ConfigurationError:
    return ConfigurationError(f"there is no experiment {name!r}: see `coursestream experiments list`")


def _arms_of(experiment: dict[str, Any]) -> str:
    return ", ".join(f"{arm['name']} ({arm['strategy']} {arm['share']:.3g})" for arm in experiment["arms"])


def _verdicts(experiment: dict[str, Any]) -> str:
    return ", ".join(f"{one['arm']} {one['verdict']}" for one in experiment["comparisons"])


def _shown(experiment: dict[str, Any]) -> RenderableType:
    columns = ("arm", "strategy", "#share", *(f"#{name.replace('_', ' ')}" for name in _FIGURES))
    rows = [tuple(arm[name] for name in ("name", "strategy", "share", *_FIGURES)) for arm in experiment["arms"]]
    against = ("arm", "against", "#hits a learner", "#low", "#high", "#p", "verdict")
    compared = [
        (one["arm"], one["control"], *(_percent(one[name]) for name in ("effect", "low", "high")),
         f"{one['p_value']:.2g}", one["verdict"])
        for one in experiment["comparisons"]
    ]  # fmt: skip
    return Group(table(columns, rows), table(against, compared))


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:+.1%}"
