"""`coursestream dead-letters`: which records were no events and why, and publishing them again."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from rich.console import Group

from cli.options import STATE_DIR, JsonFile, Moment, StateDir
from cli.output import give, pairs, table
from cli.progress import meter
from cli.system import find
from schemas.errors import ConfigurationError
from schemas.topics import LEARNER_EVENTS, Position
from stream.letters import Letter, read_letters, retry_letters

app = typer.Typer(add_completion=False)

_SHOWN: Final = 60
_REASONS: Final = 20

Reason = Annotated[
    str | None, typer.Option("--reason", metavar="TEXT", help="Only those whose field or reason contains this.")
]


def position_of(text: str) -> Position:
    """Return the position that TOPIC:PARTITION:OFFSET names; without a topic, one of `learner-events`.

    >>> str(position_of("3:17"))
    'learner-events:3:17'
    """
    try:
        return Position.parse(text if text.count(":") > 1 else f"{LEARNER_EVENTS}:{text}")
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither TOPIC:PARTITION:OFFSET nor PARTITION:OFFSET") from None


@app.callback()
def dead_letters() -> None:
    """Records of the log that are no events: which, why, and publishing them again."""


@app.command("list")
def list_letters(
    reason: Reason = None,
    since: Moment = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="The newest so many.")] = 100,
    retried: Annotated[bool, typer.Option("--retried", help="Also those that were published again.")] = False,
    state_dir: StateDir = STATE_DIR,
    json_file: JsonFile = None,
) -> None:
    """List dead letters, oldest first: where the record stands, since when, what is wrong with it, how it begins."""
    letters = asyncio.run(read_letters(find(state_dir).kafka))
    found = [one for one in letters if _matches(one, reason, since) and (retried or not one.retried_as)]
    reasons = Counter(_said(one) for one in found)
    answer = {
        "dead_letters": [_entry(one) for one in found[-limit:]],
        "total": len(found),
        "reasons": dict(reasons.most_common(_REASONS)),
    }
    columns = ("position", "appended", "#bytes", "what is wrong", "begins")
    said = f"{len(found):,} dead letters" + (f", the newest {limit:,} of them" if len(found) > limit else "")
    give(answer, json_file, Group(table(columns, map(_row, found[-limit:])), said))


@app.command()
def retry(
    all_of_them: Annotated[bool, typer.Option("--all", help="All that were not published again yet.")] = False,
    offset: Annotated[
        list[Position] | None,
        typer.Option(
            "--offset", metavar="[TOPIC:]P:O", parser=position_of, help="The record that stood here; may be repeated."
        ),
    ] = None,
    reason: Reason = None,
    since: Moment = None,
    wait_s: Annotated[float, typer.Option(min=0, metavar="S", help="How long to wait for the workers.")] = 30.0,
    state_dir: StateDir = STATE_DIR,
    json_file: JsonFile = None,
) -> None:
    """Publish the records of dead letters again, each into its topic, and say what became of them.

    For what this version, or a mended one, can read: one that still can't be read is a dead letter again, and the exit
    status is 1. Safe to repeat: each letter is retried once, and an event that comes twice counts once.
    """
    if all_of_them == bool(offset):
        raise typer.BadParameter("say which: --all, or --offset for each")
    system = find(state_dir)
    chosen = _chosen(asyncio.run(read_letters(system.kafka)), offset, reason, since)
    with meter("publishing again", len(chosen)) as progress:
        done = asyncio.run(retry_letters(system.connections(), chosen, wait_s, progress.advance))
    counts: dict[str, object] = {name: getattr(done, name) for name in ("retried", "taken", "unknown", "skipped")}
    again = [_entry(one) for one in done.died_again]
    shown = table(("position", "retry of", "what is wrong"), [_again(one) for one in done.died_again])
    count = {"died_again": len(again)}
    give({**counts, "died_again": again}, json_file, Group(pairs({**counts, **count}), *([shown] if again else [])))
    raise typer.Exit(1 if again or done.unknown else 0)


def _chosen(
    letters: Sequence[Letter], offsets: Sequence[Position] | None, reason: str | None, since: int | None
) -> list[Letter]:
    known = {letter.position for letter in letters}
    missing = [str(one) for one in offsets or () if one not in known]
    if missing:
        raise ConfigurationError(f"no dead letter stood at {', '.join(missing)}: see `coursestream dead-letters list`")
    wanted = set(offsets) if offsets else {letter.position for letter in letters if not letter.retried_as}
    return [letter for letter in letters if letter.position in wanted and _matches(letter, reason, since)]


def _matches(letter: Letter, reason: str | None, since_ms: int | None) -> bool:
    return (reason is None or reason in _said(letter)) and (since_ms is None or letter.appended_ms >= since_ms)


def _said(letter: Letter) -> str:
    return f"{letter.field}: {letter.reason}" if letter.field else letter.reason


def _appended(letter: Letter) -> str:
    return datetime.fromtimestamp(letter.appended_ms / 1_000, UTC).isoformat(timespec="milliseconds")


def _entry(letter: Letter) -> dict[str, object]:
    place = letter.position
    return {
        "position": str(place),
        "topic": place.topic,
        "partition": place.partition,
        "offset": place.offset,
        "appended_at": _appended(letter),
        "field": letter.field,
        "reason": letter.reason,
        "key": None if letter.key is None else letter.key.decode(errors="backslashreplace"),
        "value": letter.preview.decode(errors="backslashreplace"),
        "bytes": letter.num_bytes,
        "retry_of": letter.retry_of,
        "retried_as": letter.retried_as,
    }


def _row(letter: Letter) -> tuple[object, ...]:
    begins = letter.preview[:_SHOWN].decode(errors="backslashreplace")
    shown = "".join(sign if sign.isprintable() else "·" for sign in begins)
    return str(letter.position), _appended(letter), letter.num_bytes, _said(letter), shown


def _again(letter: Letter) -> tuple[object, ...]:
    return str(letter.position), letter.retry_of, _said(letter)
