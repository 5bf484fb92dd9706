"""A real worker that hears of no decision until a file is there: `python -m tests.late_control FILE`."""

import runpy
import sys
from pathlib import Path

from adapters.follow import ControlLog, Follower
from tests.waiting import until


async def _run_late(self: ControlLog) -> None:
    await until(_is_let_go, "the file", 600)
    await Follower.run(self)


async def _is_let_go() -> bool:
    return Path(sys.argv[1]).exists()


if __name__ == "__main__":
    ControlLog.run = _run_late  # type: ignore[assignment]  # the one thing that differs from `python -m stream`
    runpy.run_module("stream", run_name="__main__")
