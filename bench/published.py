"""Figures in print, each with its source, to stand beside ours: `published.toml`."""

import tomllib
from pathlib import Path
from typing import Final

import msgspec

FILE: Final = Path(__file__).with_name("published.toml")


class Published(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model came to in print. `read`: in the source itself; else it is recollected, and no fact.

    `same`: under the protocol of our bench; else `note` says what differs.
    """

    bench: str
    model: str
    metrics: dict[str, float]
    source: str
    read: bool
    same: bool
    note: str = ""


def published(bench: str = "") -> list[Published]:
    """Return the figures that stand beside a bench; those beside any, if none is named."""
    listed = msgspec.convert(tomllib.loads(FILE.read_text())["figures"], list[Published])
    return [one for one in listed if bench in ("", one.bench)]
