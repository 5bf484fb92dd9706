"""`coursestream experiments`: learners split between models or strategies, and what they make of them."""

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
from cli.models import read_models
from cli.options import STATE_DIR, JsonFile, StateDir
from cli.output import give, pairs, table
from cli.system import System, find
from schemas.candidates import STRATEGIES
from schemas.control import ControlState
from schemas.errors import ConfigurationError
from schemas.experiments import FEWEST_ARMS, MOST_ARMS, Experiment, ExperimentEnded, ExperimentStarted

app = typer.Typer(add_completion=False)

LIVE: Final = "live"
"""An arm of whichever model is live, as everybody has it."""
_ARM: Final = re.compile(r"(?:(?P<name>[^:=]+):)?(?P<given>[^:=]+)(?:=(?P<share>[^:=]+))?")
_FIGURES: Final = ("learners", "lists", "clicks", "enrolments", "tests", "hit_rate", "hit_rate_low", "hit_rate_high")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The experiment's name.")]
Reason = Annotated[str, typer.Option("--reason", help="Written beside the decision.")]


class WantedArm(NamedTuple):
    """An arm as it is asked for: a strategy, or a model by its version; `share` None: an equal one."""

    name: str
    strategy: str
    share: float | None
    model: str = ""


def parse_arm(text: str) -> WantedArm:
    """Return the arm that `[NAME:]STRATEGY|VERSION|live[=SHARE]` asks for; without a name it is called as what it gets.

    What is no strategy is taken for the version of a model.

    >>> parse_arm("sorted:content=0.1")
    WantedArm(name='sorted', strategy='content', share=0.1, model='')
    >>> parse_arm("m-3f2a"), parse_arm("live").model
    (WantedArm(name='m-3f2a', strategy='hybrid', share=None, model='m-3f2a'), '')
    """
    found = _ARM.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is not [NAME:]STRATEGY|VERSION|live[=SHARE], such as popular=0.1")
    given, share = found["given"], found["share"]
    strategy = given if given in STRATEGIES else "hybrid"
    model = "" if given in (LIVE, *STRATEGIES) else given
    try:
        part = None if share is None else float(share)
        if part is not None and not 0 < part < 1:
            raise ValueError
    except ValueError:
        raise typer.BadParameter(f"{share!r} is no share: a number between 0 and 1") from None
    return WantedArm(found["name"] or given, strategy, part, model)


_WORDS: Final = (
    "names of experiments and of arms are 1 to 40 letters, digits, `_`, `.` and `-`; "
    "a salt is 1 to 64 printable ASCII characters without blanks"
)
Arms = Annotated[
    list[WantedArm],
    typer.Option(
        "--arm", metavar="[NAME:]STRATEGY|VERSION|live[=SHARE]", parser=parse_arm,
        help="An arm, at least two, by strategy or by model (its version, or whichever is live); the first is the "
        "control; without shares they are equal.",
    ),
]  # fmt: skip
Salt = Annotated[str | None, typer.Option(metavar="TEXT", help="Key of the split; by default a new one is drawn.")]


@app.callback(invoke_without_command=True)
def experiments(context: typer.Context, state_dir: StateDir = STATE_DIR, json_file: JsonFile = None) -> None:
    """Split learners between models or strategies, see what they make of them; `list` if nothing is said."""
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
    """Start an experiment: from now on a learner's list is made and sorted as for the arm that a hash puts him in.

    Requests that name a strategy take no part. A model of an arm must be published and its bundle whole; each worker
    holds it beside the live one. One experiment runs at a time.
    """
    record, system = started(name, salt or secrets.token_hex(8), arm), find(state_dir)
    asyncio.run(_check_models(system, record))
    experiment = asyncio.run(_start(system.kafka, record))
    answer = {**msgspec.to_builtins(experiment.record), "epoch": experiment.epoch}
    del answer["kind"]
    give(answer, json_file, pairs({**answer, "arms": _arms_of(answer)}))


@app.command()
def end(name: Name, reason: Reason = "", state_dir: StateDir = STATE_DIR, json_file: JsonFile = None) -> None:
    """End the experiment that runs: every learner is given the live model's default list again."""
    epoch = asyncio.run(_end(find(state_dir).kafka, ExperimentEnded(name=name, reason=reason)))
    answer: dict[str, object] = {"ended": name, "epoch": epoch}
    give(answer, json_file, pairs(answer))


def started(name: str, salt: str, arms: Sequence[WantedArm]) -> ExperimentStarted:
    """Return the record that starts an experiment; ConfigurationError if it would be no good one."""
    if not FEWEST_ARMS <= len(arms) <= MOST_ARMS:
        raise ConfigurationError(f"an experiment has {FEWEST_ARMS} to {MOST_ARMS} arms, not {len(arms)}: repeat --arm")
    shares = {arm.share for arm in arms}
    if None in shares and len(shares) > 1:
        raise ConfigurationError("either all arms have a share, or none")
    named = [{**arm._asdict(), "share": 1 / len(arms) if arm.share is None else arm.share} for arm in arms]
    record = {"kind": "experiment_started", "name": name, "salt": salt, "arms": named}
    try:
        return msgspec.convert(record, ExperimentStarted)
    except msgspec.ValidationError as error:
        raise ConfigurationError(_WORDS if "regex" in str(error) else f"this is no experiment: {error}") from None


async def _check_models(system: System, record: ExperimentStarted) -> None:
    """Raise ConfigurationError or BundleError unless the models of all arms can be served."""
    if versions := {arm.model for arm in record.arms if arm.model}:
        known = await read_models(system.kafka)
        for version in sorted(versions):
            if not {version} & {*known.state.models, *known.state.refused}:
                raise ConfigurationError(
                    f"{version!r} is no strategy ({', '.join(STRATEGIES)}), and there is no such model: "
                    "see `coursestream models list`"
                )
            known.check_known(version)
            await asyncio.to_thread(known.check_whole, version, system.connections(redis=False))


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
    return ", ".join(f"{arm['name']} ({_given(arm)} {arm['share']:.3g})" for arm in experiment["arms"])


def _given(arm: dict[str, Any]) -> str:
    """Return what an arm's learners are given, in words."""
    if not arm["model"]:
        return str(arm["strategy"])
    return f"{arm['model']}, refused: the live model" if arm.get("refused") else str(arm["model"])


def _verdicts(experiment: dict[str, Any]) -> str:
    return ", ".join(f"{one['arm']} {one['verdict']}" for one in experiment["comparisons"])


def _shown(experiment: dict[str, Any]) -> RenderableType:
    columns = ("arm", "given", "#share", *(f"#{name.replace('_', ' ')}" for name in _FIGURES))
    rows = [(arm["name"], _given(arm), *(arm[name] for name in ("share", *_FIGURES))) for arm in experiment["arms"]]
    against = ("arm", "against", "#hits a learner", "#low", "#high", "#p", "verdict")
    compared = [
        (one["arm"], one["control"], *(_percent(one[name]) for name in ("effect", "low", "high")),
         f"{one['p_value']:.2g}", one["verdict"])
        for one in experiment["comparisons"]
    ]  # fmt: skip
    return Group(table(columns, rows), table(against, compared))


def _percent(value: float | None) -> str | None:
    return None if value is None else f"{value:+.1%}"
