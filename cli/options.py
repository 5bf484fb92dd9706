"""Options that several commands share, and what their values may be."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from schemas.events import to_microseconds
from schemas.ids import MAX_ID_BYTES, Id, check_id

STATE_DIR: Final = Path(".coursestream")

_LATEST_S: Final = 4_102_444_800  # 2100-01-01

StateDir = Annotated[
    Path,
    typer.Option(
        "--state-dir", metavar="D", envvar="COURSESTREAM_STATE_DIR", help="Where `up` keeps its state and addresses."
    ),
]
JsonFile = Annotated[
    str | None,
    typer.Option("--json", metavar="FILE", help="Write the answer as JSON; `-`: standard output, nothing else on it."),
]


def id_of(text: str) -> str:
    """Return a learner's or a course's id as events carry it, or raise typer.BadParameter."""
    if not text:
        raise typer.BadParameter("it is empty")
    try:
        check_id("it", msgspec.convert(text, Id))
    except (msgspec.ValidationError, ValueError):
        raise typer.BadParameter(f"an id is at most {MAX_ID_BYTES} bytes of UTF-8, no control characters") from None
    return text


def moment_ms(text: str) -> int:
    """Return milliseconds since 1970 from ISO 8601 with an offset, or unix seconds.

    >>> moment_ms("2025-09-01T10:00:00+02:00"), moment_ms("1.5")
    (1756713600000, 1500)
    """
    try:
        seconds = float(text)
    except ValueError:
        seconds = None
    if seconds is not None:
        if not 0 <= seconds <= _LATEST_S:
            raise typer.BadParameter(f"{text!r} lies outside the years 1970 to 2100")
        return round(seconds * 1_000)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither ISO 8601 nor unix seconds") from None
    if moment.tzinfo is None:
        raise typer.BadParameter(f"{text!r} names no time zone: write it as in 2025-09-01T10:00Z")
    return to_microseconds(moment) // 1_000


Moment = Annotated[
    int | None,
    typer.Option(metavar="T", parser=moment_ms, help="Append time: ISO 8601 with an offset, or unix seconds."),
]
