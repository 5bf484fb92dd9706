"""The live screen of the demo: a panel on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.arms import ARMS, BUCKET_S, WINDOW, Scores
from cli.chart import bar, bounds, column_end, plot
from cli.watch import Promotion, Watch

COLOURS: Final = {"hybrid": "bright_green", "popular": "yellow", "random": "bright_blue"}
MARKS: Final = {"hybrid": "●", "popular": "◆", "random": "○"}
_WIDTH: Final = 92
_BAR: Final = 48
_PLOT: Final = 72
_HEIGHTS: Final = (4, 12)
_REST: Final = 22
"""Rows beside the chart, so that all of it fits on the terminal."""
_MODELS: Final = 4
_STRATEGIES: Final = ("hybrid", "collaborative", "content", "popular", "trending")


def screen(watch: Watch, scores: Scores | None, elapsed_s: float, rows: int) -> RenderableType:
    """Return what the screen shows now, on a terminal of so many rows."""
    parts: list[RenderableType] = [_flow(watch, elapsed_s), Text(), _models(watch.promotions)]
    if watch.quality:
        parts += [Text(), _quality(watch)]
    if scores is not None:
        parts += [Text(), *_arms(scores, watch.promotions, elapsed_s, rows)]
    foot = f"[dim]{watch.system.api_url} · Ctrl-C stops everything"
    return Panel(Group(*parts), title="[b]coursestream", subtitle=foot, width=_WIDTH, padding=(0, 1))


def line(watch: Watch, scores: Scores | None, elapsed_s: float) -> str:
    """Return the same as one line."""
    said = [
        f"{clock(elapsed_s)}",
        f"{_number(watch.events_per_s)} events/s",
        f"lag {_number(watch.lag)}",
        _fresh(watch),
    ]
    said.append(f"model {watch.promotions[-1].version}" if watch.promotions else "no model yet")
    if scores is not None:
        said.append(", ".join(f"{arm} {_percent(scores.recent(arm).share)}" for arm in ARMS))
    return "; ".join(said)


def clock(seconds: float) -> str:
    """Return minutes and seconds.

    >>> clock(125.3)
    '2:05'
    """
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _fresh(watch: Watch) -> str:
    p50, p99 = (watch.freshness.quantile_ms(share) for share in (0.5, 0.99))
    return f"an event is in the list after {_number(p50)} ms (p50), {_number(p99)} ms (p99)"


def _flow(watch: Watch, elapsed_s: float) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    behind = f"{_number(watch.lag)} records" + (f", {watch.lag_s:.1f} s" if watch.lag else "")
    grid.add_row("[dim]running", clock(elapsed_s), "[dim]log", f"{watch.events:,} events")
    grid.add_row("[dim]stream", f"{_number(watch.events_per_s)} events/s", "[dim]lag", behind)
    grid.add_row("[dim]fresh", _quantile(watch, 0.5), "[dim]p99", _quantile(watch, 0.99))
    return grid


def _quantile(watch: Watch, share: float) -> str:
    found = watch.freshness.quantile_ms(share)
    return "-" if found is None else f"{found:,.0f} ms"


def _models(promotions: Sequence[Promotion]) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    if not promotions:
        grid.add_row("[dim]model", "none yet")
    for number, one in enumerate(reversed(promotions[-_MODELS:])):
        age = f"{clock(max(time.time() - one.moment_s, 0))} ago"
        style = "" if number == 0 else "dim"
        label = "[b]live" if number == 0 else "[dim]before"
        reason = Text(one.reason, style=style, overflow="ellipsis", no_wrap=True)
        grid.add_row(label, Text(one.version, style=style), Text(age, style=style), reason)
    return grid


def _quality(watch: Watch) -> RenderableType:
    rates = [(name, *watch.quality[name]) for name in _STRATEGIES if name in watch.quality]
    said = "   ".join(f"{name} [b]{rate:.1%}[/b]" for name, rate, _ in rates)
    tests = max(tests for _, _, tests in rates) if rates else 0
    return Text.from_markup(f"[dim]enrolled from the first ten of the list ({tests:,} enrolments)[/dim]\n{said}")


def _arms(scores: Scores, promotions: Sequence[Promotion], elapsed_s: float, rows: int) -> list[RenderableType]:
    title = Text.from_markup(
        "[b]Satisfaction with lists[/b] [dim]as a share of the best in reach, last "
        f"{clock(WINDOW * BUCKET_S)}[/dim]   [cyan]▲ a new model"
    )
    height = min(max(rows - _REST, _HEIGHTS[0]), _HEIGHTS[1])
    return [title, _bars(scores), Text(), _history(scores, promotions, elapsed_s, height)]


def _bars(scores: Scores) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    for arm in ARMS:
        recent, total = scores.recent(arm), scores.total(arm)
        share, colour = recent.share or 0.0, COLOURS[arm]
        decisions = f"[dim]{total.decisions:,} decisions, {_percent(total.share)} in all"
        name = f"[{colour}]{MARKS[arm]} {arm}"
        grid.add_row(
            name, Text(bar(share, _BAR), style=f"{colour} on grey15"), f"[b]{_percent(recent.share)}", decisions
        )
    return grid


def _history(scores: Scores, promotions: Sequence[Promotion], elapsed_s: float, height: int) -> RenderableType:
    """Return a chart of each arm's share since the start, with a mark where a model became live."""
    lines = {arm: scores.course(arm) for arm in ARMS}
    low, high = bounds(lines.values(), 0.1)
    drawn = Text()
    for number, row in enumerate(plot(lines, _PLOT, height, low, high)):
        label = {0: f"{high:4.0%} ┤", height - 1: f"{low:4.0%} ┤"}.get(number, "     │")
        drawn.append(label, style="dim")
        for cell in row:
            drawn.append(MARKS[cell] if cell else " ", style=COLOURS.get(cell, ""))
        drawn.append("\n")
    points = len(lines[ARMS[0]])
    drawn.append("     └" + "─" * _PLOT + "\n", style="dim")
    drawn.append("      " + _marks(promotions, elapsed_s, points) + "\n", style="cyan")
    drawn.append("      0:00" + f"{clock(elapsed_s):>{max(min(points, _PLOT) - 4, 8)}}", style="dim")
    return drawn


def _marks(promotions: Sequence[Promotion], elapsed_s: float, points: int) -> str:
    """Return a line with a mark where a model became live."""
    columns = min(_PLOT, points)
    began_s, marks = time.time() - elapsed_s, [" "] * _PLOT
    for one in promotions:
        bucket = int((one.moment_s - began_s) // BUCKET_S)
        if 0 <= bucket < points:
            marks[next(c for c in range(columns) if column_end(c, columns, points) > bucket)] = "▲"
    return "".join(marks)
