"""`python -m tests.chaos`: a run of faults against the real system; `make chaos KILLS=50`.

Interrupted, it goes on where it was when it is called again with the same folder.
"""

import argparse
import asyncio
import logging
import shutil
import signal
import sys
from pathlib import Path
from typing import Final

from rich.console import Console

from tests.chaos.nemesis import all_faults
from tests.chaos.report import Report
from tests.chaos.run import OVER, Options, Run, write_report

_MOST: Final = 20


async def interruptible(run: Run) -> Report:
    """Run; SIGINT and SIGTERM end it in order, even where a shell has its background jobs ignore one."""
    going = asyncio.create_task(run.go())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, going.cancel)
    return await going


def complaints_of(report: Report) -> list[object]:
    """Return the first complaints of each kind."""
    verdicts = [report.verdict, *([report.truncated] if report.truncated else [])]
    lists = [kind for one in verdicts for kind in (one.lost, one.doubled, one.wrong)]
    return [*report.unproven, *(complaint for found in lists for complaint in found[:_MOST])]


def main() -> int:
    """Run, and return 0 only if every guarantee held and every fault landed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, default=Path(".chaos"), help="state and records; resumed if it is there")
    parser.add_argument("--kills", type=int, default=50, metavar="N", help="faults in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=100.0, metavar="R", help="events a second")
    parser.add_argument("--learners", type=int, default=3_000)
    parser.add_argument("--fault", action="append", default=[], metavar="NAME", help="only this kind; repeatable")
    parser.add_argument("--fresh", action="store_true", help="forget what an earlier run has left in the folder")
    parser.add_argument("--list", action="store_true", help="name the kinds of faults, and stop")
    parser.add_argument("--json", metavar="FILE", help="write the result as JSON; - is standard output")
    options = parser.parse_args()
    names = [fault.name for fault in all_faults()]
    if options.list:
        print("\n".join(names))
        return 0
    if unknown := set(options.fault) - set(names):
        parser.error(f"no such fault: {sorted(unknown)}; --list names them")
    if options.fresh:
        shutil.rmtree(options.folder, ignore_errors=True)
    if (options.folder / OVER).exists():
        parser.error(f"the run in {options.folder} is over: name another --folder, or start anew with --fresh")
    chosen = Options(
        options.folder.absolute(), options.kills, options.seed, options.rate, options.learners, names=options.fault
    )
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # servers are away on purpose here
    try:
        report = asyncio.run(interruptible(Run(chosen)))
    except asyncio.CancelledError:
        print("interrupted: the same call goes on from here", file=sys.stderr)
        return 1
    write_report(report, options.json)
    Console(stderr=options.json == "-", width=None if sys.stdout.isatty() else 200, highlight=False).print(
        report.shown()
    )
    for one in complaints_of(report):
        print(one, file=sys.stderr)
    return 0 if report.holds else 1


if __name__ == "__main__":
    sys.exit(main())
