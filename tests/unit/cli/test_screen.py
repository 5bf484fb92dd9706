"""The live screen, as a terminal would show it."""

import asyncio
import time
from pathlib import Path

import pytest
from rich.console import Console

from cli.arms import Scores
from cli.chart import plot
from cli.pace import Pace
from cli.patient import PatientApi
from cli.screen import line, screen
from cli.system import System
from cli.watch import Freshness, Promotion, Watch

ELAPSED_S = 100.0


@pytest.fixture
async def watch() -> Watch:
    """What is known of a system that has run for a while."""
    ready = {"api_url": "http://127.0.0.1:1", "kafka": "127.0.0.1:2", "redis_url": "redis://127.0.0.1:3/0"}
    api = PatientApi(ready["api_url"], "token")
    known = Watch(System(Path("nowhere"), ready), api, Freshness(api))
    known.lag, known.events, known.events_per_s = 3, 12_345, 25.4
    now = time.time()
    known.promotions = [
        Promotion("b-first", now - 95, "the text of the courses"),
        Promotion("m-second", now - 50, "hr@10 0.3 against 0.2"),
    ]
    known.quality = {"hybrid": (0.5, 40), "popular": (0.25, 40)}
    return known


@pytest.fixture
def scores() -> Scores:
    """A hybrid arm that rises, a popular one that does not; nobody at random."""
    made = Scores()
    for second in range(int(ELAPSED_S)):
        made.add("hybrid", second, 0.4 + 0.3 * (second > 50), 1.0)
        made.add("popular", second, 0.45, 1.0)
    return made


def shown(watch: Watch, scores: Scores | None, rows: int = 40) -> list[str]:
    console = Console(width=110, record=True, file=None, force_terminal=False)
    with console.capture() as captured:
        console.print(screen(watch, scores, ELAPSED_S, rows))
    return captured.get().splitlines()


def test_everything_is_on_the_screen(watch: Watch, scores: Scores) -> None:
    text = "\n".join(shown(watch, scores))
    for part in ("25 events/s", "3 records", "12,345 events", "1:40", "hybrid", "m-second", "hr@10 0.3 against 0.2"):
        assert part in text
    assert "hybrid 50.0%" in text and "popular 25.0%" in text and "40 enrolments" in text


def test_bars_and_lines_say_which_arm_is_ahead(watch: Watch, scores: Scores) -> None:
    rows = shown(watch, scores)
    bars = {arm: next(row for row in rows if f" {arm} " in row and "decisions" in row) for arm in ("hybrid", "popular")}
    assert bars["hybrid"].count("█") > bars["popular"].count("█") > 0
    heights = {mark: [number for number, row in enumerate(rows) if mark in row and "│" in row[2:10]] for mark in "●◆"}
    assert min(heights["●"]) < min(heights["◆"]), "the hybrid line ends above"
    marks = next(row for row in rows if row.count("▲") == 2)
    assert marks.index("▲") < marks.rindex("▲")


@pytest.mark.parametrize("rows", [30, 40, 60])
def test_the_screen_fits_on_the_terminal(watch: Watch, scores: Scores, rows: int) -> None:
    lines = shown(watch, scores, rows)
    assert len(lines) <= rows
    assert all(len(one) <= 92 for one in lines)


def test_without_a_campus_there_are_no_arms(watch: Watch) -> None:
    text = "\n".join(shown(watch, None))
    assert "events/s" in text and "decisions" not in text


def test_a_line_says_the_same_in_short(watch: Watch, scores: Scores) -> None:
    said = line(watch, scores, ELAPSED_S)
    assert said.startswith("1:40; 25 events/s; lag 3; ")
    assert "model m-second" in said and "popular 45%, random -" in said
    watch.promotions.clear()
    assert "no model yet" in line(watch, None, 1.0)


def test_a_long_run_is_squeezed_and_ends_with_the_newest() -> None:
    rising = [number / 1_000 for number in range(1_000)]
    grid = plot({"a": rising}, 50, 10, 0.0, 1.0)
    assert grid[0][-1] == "a" and grid[-1][0] == "a"
    assert sum(cell == "a" for row in grid for cell in row) == 50


async def test_a_pace_is_never_exceeded() -> None:
    pace, clock = Pace(1_000.0), asyncio.get_running_loop().time
    began_s = clock()
    await pace.turn()
    pace.spend(599)
    await asyncio.gather(*(pace.turn() for _ in range(101)))
    assert clock() - began_s >= 0.7 - 0.2 - 0.001  # 700 units are due; at most 0.2 s may be made up for
