"""`coursestream models`: which models there are, which one is live, and making another one live."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from aiokafka import ConsumerRecord

from adapters.follow import ControlLog, append_control
from cli.api import get
from cli.options import STATE_DIR, JsonFile, StateDir
from cli.output import give, pairs, table
from cli.system import find
from schemas.control import ControlRecord, ControlState, ModelPromoted, ModelRolledBack
from schemas.errors import ConfigurationError
from schemas.quality import KEPT_DAYS

app = typer.Typer(add_completion=False)

Reason = Annotated[str, typer.Option("--reason", help="Written beside the decision.")]
_SHOWN_METRICS: Final = ("hr@10", "ndcg@10")


@dataclass(frozen=True)
class Models:
    """What `control` says of models. `lives`: the versions that were live before the live one, and it, oldest first."""

    state: ControlState
    lives: tuple[str, ...]

    def check_known(self, version: str) -> None:
        """Raise ConfigurationError unless this version was published."""
        if version not in self.state.models:
            raise ConfigurationError(f"there is no model {version!r}: see `coursestream models list`")

    def before(self) -> str:
        """Return the version that was live before the present one."""
        if len(self.lives) < 2:
            raise ConfigurationError("no other model was live before: there is nothing to roll back to")
        return self.lives[-2]


def next_lives(lives: tuple[str, ...], version: str, rolled_back: bool) -> tuple[str, ...]:
    """Return the line of live versions after one more decision; a rollback takes away what came after its version.

    >>> next_lives(("a", "b"), "c", rolled_back=False), next_lives(("a", "b", "c"), "a", rolled_back=True)
    (('a', 'b', 'c'), ('a',))
    """
    if rolled_back and version in lives:
        last = len(lives) - 1 - lives[::-1].index(version)
        return lives[: last + 1]
    return lives if lives[-1:] == (version,) else (*lives, version)


class _LiveLog(ControlLog):
    """`control` with the line of live versions."""

    def __init__(self, bootstrap_servers: str) -> None:
        super().__init__(bootstrap_servers)
        self.lives: tuple[str, ...] = ()

    def take(self, record: ConsumerRecord) -> None:
        """Fold one decision, and note what it made live."""
        epoch = self.state.model_epoch
        super().take(record)
        if self.state.model_epoch != epoch:
            rolled_back = b'"model_rolled_back"' in (record.value or b"")
            self.lives = next_lives(self.lives, self.state.model_version, rolled_back)


async def read_models(servers: str) -> Models:
    """Return what `control` says of models now."""
    async with _LiveLog(servers) as control:
        return Models(control.state, control.lives)


@app.callback(invoke_without_command=True)
def models(context: typer.Context, state_dir: StateDir = STATE_DIR, json_file: JsonFile = None) -> None:
    """List the models, make one live, or go back to the one before; `list` if nothing is said."""
    if context.invoked_subcommand is None:
        list_models(state_dir, json_file)


@app.command("list")
def list_models(state_dir: StateDir = STATE_DIR, json_file: JsonFile = None) -> None:
    """List the published models, oldest first, each with its digest, offsets, metrics and state."""
    state = asyncio.run(read_models(find(state_dir).kafka)).state
    entries = [_entry(state, version) for version in state.models]
    columns = ("version", "state", "published", "digest", *(f"#{name}" for name in _SHOWN_METRICS), "#events")
    give({"models": entries, "live": state.model_version}, json_file, table(columns, map(_row, entries)))


@app.command()
def promote(
    version: Annotated[str, typer.Argument(metavar="V", help="The version that is to be live.")],
    reason: Reason = "",
    state_dir: StateDir = STATE_DIR,
    json_file: JsonFile = None,
) -> None:
    """Make a published model live."""
    servers = find(state_dir).kafka
    known = asyncio.run(read_models(servers))
    known.check_known(version)
    _decide(servers, ModelPromoted(version=version, reason=reason), version, json_file)


@app.command()
def rollback(reason: Reason = "", state_dir: StateDir = STATE_DIR, json_file: JsonFile = None) -> None:
    """Make the model live again that was live before the present one."""
    servers = find(state_dir).kafka
    version = asyncio.run(read_models(servers)).before()
    _decide(servers, ModelRolledBack(version=version, reason=reason), version, json_file)


@app.command()
def quality(
    days: Annotated[int, typer.Option(min=1, max=KEPT_DAYS, metavar="N", help="How many days, up to now.")] = 7,
    state_dir: StateDir = STATE_DIR,
    json_file: JsonFile = None,
) -> None:
    """Show how learners' first enrolments stood in the lists before them, by model, strategy and history."""
    answer = get(find(state_dir), "/v1/quality", {"days": days}, scope="operator")
    columns = ("model", "strategy", "history", "#tests", "#hit rate", "#reciprocal rank")
    give(answer, json_file, table(columns, [tuple(one.values()) for one in answer["models"]]))


def _decide(servers: str, record: ControlRecord, version: str, json_file: str | None) -> None:
    epoch = asyncio.run(append_control(servers, record))
    answer: dict[str, object] = {"live": version, "epoch": epoch}
    give(answer, json_file, pairs(answer))


def _entry(state: ControlState, version: str) -> dict[str, object]:
    model = state.models[version]
    idle = "bootstrap" if model.record.bootstrap else "published"
    return {
        "version": version,
        "state": "live" if version == state.model_version else idle,
        "published_at": datetime.fromtimestamp(model.published_ms / 1_000, UTC).isoformat(timespec="seconds"),
        "digest": model.record.digest,
        "offsets": model.record.offsets,
        "metrics": model.record.metrics,
        "bootstrap": model.record.bootstrap,
    }


def _row(entry: dict[str, object]) -> tuple[object, ...]:
    metrics, offsets = entry["metrics"], entry["offsets"]
    assert isinstance(metrics, dict)
    assert isinstance(offsets, dict)
    shown = (metrics.get(name) for name in _SHOWN_METRICS)
    digest = str(entry["digest"])[:12]
    return entry["version"], entry["state"], entry["published_at"], digest, *shown, sum(map(sum, offsets.values()))
