"""Options that several commands share, and what their values may be."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from schemas.events import to_microseconds

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
