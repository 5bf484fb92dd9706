"""Plots as inline SVG: colours are the page's, so they follow light and dark; text stays text.

Series differ by colour (Okabe and Ito's, for every kind of colour vision), by marker and, beyond seven, by dashes.
"""

import itertools
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import StringIO
from typing import Any, Final, NamedTuple
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

from reports.page import Chart, percent, shown

_INK: Final = "#010101"
_RULE: Final = "#010102"
_SERIES: Final = tuple(f"#0101a{number}" for number in range(1, 8))
_VARIABLES: Final = {
    _INK: "var(--ink)",
    _RULE: "var(--rule)",
    **{colour: f"var(--series-{number})" for number, colour in enumerate(_SERIES, 1)},
}
_STAND_IN: Final = re.compile("|".join(_VARIABLES))
_MARKERS: Final = "osD^vPX*h"
_STYLE: Final[dict[Any, object]] = {
    "svg.fonttype": "none", "svg.hashsalt": "coursestream", "text.parse_math": False, "font.size": 9,
    "text.color": _INK, "axes.labelcolor": _INK, "xtick.color": _INK, "ytick.color": _INK, "axes.edgecolor": _RULE,
    "xtick.labelcolor": _INK, "ytick.labelcolor": _INK, "grid.color": _RULE, "grid.linewidth": 0.6, "axes.grid": True,
    "axes.axisbelow": True, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
}  # fmt: skip
_WIDTH: Final = 7.0
_MANY_TICKS: Final = 13
_ROOM: Final = 100
"""So many characters fit side by side under a plot."""

_LONGEST_NAME: Final = 40
_WITH_COMMAS: Final = FuncFormatter(lambda value, _: f"{value:,.10g}")

Line = Sequence[float | None]


class Words(NamedTuple):
    """What is written on and under a plot: the axes with their units, and how to read it."""

    title: str
    x: str
    y: str
    reading: str


def line_chart(words: Words, ticks: Sequence[object], lines: Mapping[str, Line]) -> Chart:
    """Draw a line a name over places that `ticks` names; None is a gap; a line without a name needs no legend."""
    with _drawing(words, 3.6) as (figure, axes):
        for (name, line), (colour, marker, dashes) in zip(lines.items(), looks(), strict=False):
            values = [float("nan") if value is None else value for value in line]
            markers = marker if len(values) <= 2 * _MANY_TICKS else ""
            axes.plot(values, color=colour, marker=markers, markersize=4, linestyle=dashes, linewidth=1.5, label=name)
        _name_places(axes, ticks)
        if axes.dataLim.y0 >= 0:
            axes.set_ylim(bottom=0)
        if any(lines):
            figure.legend(loc="outside upper left", ncols=min(len(lines), 5))
    return _chart(words, figure, "lines: " + ", ".join(map(_ends, lines.items())))


def column_chart(words: Words, ticks: Sequence[object], heights: Sequence[float]) -> Chart:
    """Draw a column a place that `ticks` names."""
    with _drawing(words, 2.8) as (figure, axes):
        axes.bar(range(len(heights)), heights, color=_SERIES[0], width=0.85)
        axes.grid(visible=False, axis="x")
        _name_places(axes, ticks)
    highest = max(zip(heights, ticks, strict=True), default=(0.0, "-"), key=lambda column: column[0])
    return _chart(words, figure, f"{len(ticks)} columns, the highest, {shown(highest[0])}, at {highest[1]}")


def bar_chart(words: Words, lengths: Mapping[str, float], *, are_shares: bool = False) -> Chart:
    """Draw a bar a name, each with its figure at its end."""
    with _drawing(words, 0.7 + 0.24 * len(lengths)) as (figure, axes):
        names, write = [_short(name) for name in lengths], percent if are_shares else shown
        drawn = axes.barh(range(len(names)), list(lengths.values()), color=_SERIES[0], height=0.7)
        axes.bar_label(drawn, [write(length) for length in lengths.values()], padding=3)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        if are_shares:
            axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.margins(x=0.12)
        axes.grid(visible=False, axis="y")
    said = ", ".join(f"{name} {write(length)}" for name, length in lengths.items())
    return _chart(words, figure, f"bars: {said}")


def interval_chart(words: Words, intervals: Mapping[str, tuple[float, float, float]]) -> Chart:
    """Draw a dot a name with its interval: low, value, high; all three equal where there is none."""
    with _drawing(words, 0.8 + 0.26 * len(intervals)) as (figure, axes):
        lows, values, highs = np.array(list(intervals.values()), dtype=float).reshape(-1, 3).T
        places = np.arange(len(values))
        axes.hlines(places, lows, highs, color=_SERIES[0], linewidth=2.5)
        axes.plot(values, places, "o", color=_SERIES[0], markersize=6)
        axes.set_yticks(places, [_short(name) for name in intervals])
        axes.set_ylim(len(values) - 0.5, -0.5)
        axes.set_xlim(left=0, right=float(max(highs, default=1.0)) * 1.08 or 1.0)
    said = ", ".join(f"{name} {shown(value)}" for name, (_, value, _) in intervals.items())
    return _chart(words, figure, f"dots: {said}")


def curve_chart(
    words: Words, xs: Sequence[float], ys: Sequence[float], marks: Mapping[str, tuple[float, float]]
) -> Chart:
    """Draw a curve through points, with some places of it marked by name."""
    with _drawing(words, 3.2) as (figure, axes):
        axes.plot(xs, ys, color=_SERIES[0], linewidth=1.8)
        for name, (x, y) in marks.items():
            axes.plot(x, y, "o", color=_SERIES[1], markersize=5)
            axes.annotate(name, (x, y), xytext=(8, -10), textcoords="offset points")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
    return _chart(words, figure, "a curve; on it " + ", ".join(marks))


@contextmanager
def _drawing(words: Words, height: float) -> Iterator[tuple[Figure, Axes]]:
    """Yield a figure of `height` inches with labelled axes, in the style of the page."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        axes = figure.add_subplot()
        axes.set(xlabel=words.x, ylabel=words.y)
        axes.tick_params(length=0)
        axes.yaxis.set_major_formatter(_WITH_COMMAS)
        axes.xaxis.set_major_formatter(_WITH_COMMAS)
        yield figure, axes


def looks() -> Iterator[tuple[str, str, str]]:
    """Yield colour, marker and dashes of the first series, the second, and so on."""
    dashes = ("-", "--", ":", "-.")
    for number in itertools.count():
        yield (
            _SERIES[number % len(_SERIES)],
            _MARKERS[number % len(_MARKERS)],
            dashes[number // len(_SERIES) % len(dashes)],
        )


def _name_places(axes: Axes, ticks: Sequence[object]) -> None:
    """Write under the places what they are; of many only as many as there is room for."""
    names = [str(tick) for tick in ticks]
    longest = max((len(line) for name in names for line in name.split("\n")), default=1)
    step = max(1, -(-len(names) // _MANY_TICKS), -(-len(names) * (longest + 2) // _ROOM))
    axes.set_xticks(range(0, len(names), step), names[::step])
    axes.set_xlim(-0.6, max(len(ticks), 1) - 0.4)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def _ends(line: tuple[str, Line]) -> str:
    """Return a line's first and last value in words."""
    values = [value for value in line[1] if value is not None]
    return f"{line[0]} from {shown(values[0])} to {shown(values[-1])}".strip() if values else f"{line[0]} empty"


def _chart(words: Words, figure: Figure, drawn: str) -> Chart:
    """Return the chart; what stands in it is also said in words."""
    alt = f"{words.title}. {words.y or 'One row a name'}, by {words.x}; {drawn}"
    root = ElementTree.fromstring(_svg(figure))
    prefix = re.sub(r"\W+", "-", words.title.lower())
    for element in root.iter():
        _adopt(element, prefix)
    content = "".join(ElementTree.tostring(child, encoding="unicode") for child in root if child.tag != "metadata")
    painted = Markup(_STAND_IN.sub(lambda found: _VARIABLES[found[0]], content))
    svg = Markup('<svg role="img" aria-label="{}" viewBox="{}">{}</svg>').format(alt, root.get("viewBox"), painted)
    return Chart(words.title, svg, words.reading)


def _svg(figure: Figure) -> str:
    text = StringIO()
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # only measured with this font, drawn with the reader's
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return text.getvalue()


def _adopt(element: ElementTree.Element, prefix: str) -> None:
    """Make an element one of the page's: no name spaces, ids and references to them with a prefix."""
    element.tag = element.tag.rpartition("}")[2]
    for name, value in list(element.attrib.items()):
        del element.attrib[name]
        name = name.rpartition("}")[2]
        if name == "id":
            value = f"{prefix}-{value}"
        elif name == "href":
            value = value.replace("#", f"#{prefix}-", 1)
        element.set(name, value.replace("url(#", f"url(#{prefix}-"))
    for child in [child for child in element if child.tag.endswith("}style")]:
        element.remove(child)
