"""What a part of a bench came to, kept as a file of JSON; the document is made from all that are kept."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from bench.suite import Bench
from schemas.errors import ConfigurationError


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """An answer of the command line, or an error; how it was called, when, and on what machine."""

    bench: str
    part: str
    call: str
    settings: dict[str, Any]
    seconds: float
    moment: datetime
    machine: dict[str, str]
    answer: dict[str, Any]
    error: str = ""


def read_results(kept: Path, suite: Iterable[Bench]) -> list[Result]:
    """Return what is kept of a suite, in its order; ConfigurationError for a file that is no result."""
    found = []
    for bench in suite:
        for part in bench.parts:
            path = kept / f"{bench.name}.{part.name}.json"
            if path.is_file():
                found.append(_read(path))
    return found


def _read(path: Path) -> Result:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Result)
    except msgspec.DecodeError as error:
        raise ConfigurationError(
            f"{path} is no result of a bench ({error}): delete it, and run its bench again"
        ) from None
