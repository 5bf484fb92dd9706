"""Bars and lines made of characters."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"

Line = Sequence[float | None]


def bar(share: float, width: int) -> str:
    """Return a bar of `width` characters, filled to a share, in eighths of a character.

    >>> bar(0.55, 10)
    '█████▌    '
    """
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


def squeezed(line: Line, width: int) -> list[float | None]:
    """Return at most `width` points of a line: all, or the last of each stretch.

    >>> squeezed([1.0, 2.0, 3.0, 4.0], 2)
    [2.0, 4.0]
    """
    columns = min(width, len(line))
    return [line[column_end(column, columns, len(line)) - 1] for column in range(columns)]


def column_end(column: int, columns: int, points: int) -> int:
    """Return where the stretch of points that a column stands for ends."""
    return -(-(column + 1) * points // columns)


def bounds(lines: Iterable[Line], step: float) -> tuple[float, float]:
    """Return a range in whole steps that holds all values; one step above 0 if there are none.

    >>> bounds([[0.31, None, 0.66], [0.42]], 0.1)
    (0.3, 0.7)
    """
    values = [value for line in lines for value in line if value is not None]
    low = math.floor(min(values, default=0.0) / step) * step
    high = max(math.ceil(max(values, default=step) / step) * step, low + step)
    return round(low, 6), round(high, 6)


def plot(lines: Mapping[str, Line], width: int, height: int, low: float, high: float) -> list[list[str]]:
    """Return rows of cells, the highest first: in each the name of the line that passes there, or nothing.

    Values go from `low` to `high`; where lines meet, the first one is seen.

    >>> plot({"a": [0.0, 1.0], "b": [0.0, 0.0]}, 4, 2, 0.0, 1.0)
    [['', 'a', '', ''], ['a', 'b', '', '']]
    """
    grid = [[""] * width for _ in range(height)]
    for name, line in lines.items():
        for column, value in enumerate(squeezed(line, width)):
            if value is not None:
                above = int((value - low) / (high - low) * height)
                row = height - 1 - min(max(above, 0), height - 1)
                grid[row][column] = grid[row][column] or name
    return grid
