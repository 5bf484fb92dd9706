"""Progress of long work on standard error: a bar with rate and ETA on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import ProgressColumn as Column
from rich.text import Text

_LINE_S: Final = 5.0


class Meter(Protocol):
    """Where work says how far it is."""

    def advance(self, count: int) -> None:
        """Say that `count` more units are done."""

    def reach(self, done: float, total: float | None = None, what: str | None = None) -> None:
        """Say how much is done of how much, and perhaps what is being done."""


class _Rate(Column):
    def render(self, task: Task) -> Text:
        """Return the rate of the last seconds."""
        return Text(f"{task.speed:,.0f}/s" if task.speed else "-/s", style="cyan")


class _Bar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def advance(self, count: int) -> None:
        """Move the bar on."""
        self._progress.advance(self._task, count)

    def reach(self, done: float, total: float | None = None, what: str | None = None) -> None:
        """Move the bar to a place."""
        self._progress.update(self._task, completed=done, total=total, description=what)


class _Lines:
    """Lines for a log: at most one every `_LINE_S` seconds."""

    def __init__(self, what: str, total: float | None) -> None:
        self._what = what
        self._total = total
        self._done = 0.0
        self._start = self._last = time.monotonic()

    def advance(self, count: int) -> None:
        """Count on."""
        self.reach(self._done + count)

    def reach(self, done: float, total: float | None = None, what: str | None = None) -> None:
        """Take in how far the work is; say so if it is time."""
        self._done = done
        self._total = self._total if total is None else total
        self._what = what or self._what
        now = time.monotonic()
        if now - self._last >= _LINE_S:
            self._last = now
            print(self._line(now - self._start), file=sys.stderr, flush=True)

    def _line(self, seconds: float) -> str:
        rate = self._done / seconds
        if self._total is None:
            return f"{self._what}: {self._done:,.0f}, {rate:,.0f}/s"
        if self._total <= 1:
            return f"{self._what}: {self._done:.0%}"
        left = f", {(self._total - self._done) / rate:,.0f} s left" if rate else ""
        return f"{self._what}: {self._done:,.0f} of {self._total:,.0f}, {rate:,.0f}/s{left}"


@contextmanager
def meter(what: str, total: float | None = None) -> Iterator[Meter]:
    """Yield a meter for `total` units of work (None: unknown; 1: fractions of all that is to be done)."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(what, total)
        return
    description, bar, left = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    counted = () if total == 1 else (MofNCompleteColumn(), _Rate())
    with Progress(description, bar, *counted, left, console=console, transient=True) as progress:
        yield _Bar(progress, progress.add_task(what, total=total))
