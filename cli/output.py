"""What a command answers: a table for people, JSON for programs."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

STANDARD_OUTPUT = "-"
_PIPE_WIDTH = 200


def console() -> Console:
    """Return standard output; what is piped on is not folded to a screen's width."""
    return Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH, highlight=False)


def give(answer: object, json_file: str | None, shown: RenderableType) -> None:
    """Write the answer as JSON where that is wanted; show it unless the JSON has standard output to itself."""
    if json_file is not None:
        text = msgspec.json.encode(answer).decode() + "\n"
        if json_file == STANDARD_OUTPUT:
            sys.stdout.write(text)
            sys.stdout.flush()
            return
        Path(json_file).write_text(text)
    console().print(shown)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Return a table; columns whose name begins with `#` are numbers, to the right."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column.removeprefix("#"), justify="right" if column.startswith("#") else "left")
    for row in rows:
        made.add_row(*(Text(_cell(value)) for value in row))
    return made


def pairs(answer: dict[str, object]) -> Table:
    """Return a table of names and values."""
    made = Table.grid(padding=(0, 2))
    for name, value in answer.items():
        made.add_row(name.replace("_", " "), Text(_cell(value)))
    return made


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.3f}" if abs(value) < 100 else f"{value:,.0f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_cell(part)}" for name, part in value.items()) or "-"
    return str(value)
