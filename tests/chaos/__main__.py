"""`python -m tests.chaos`: a run of faults against the real system; `make chaos KILLS=50`.

Interrupted, it goes on where it was when it is called again with the same folder.
"""

import argparse
import asyncio
import shutil
import sys
from pathlib import Path

from rich.console import Console

from tests.chaos.nemesis import all_faults
from tests.chaos.run import Options, Run, write_report


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
    chosen = Options(
        options.folder.absolute(), options.kills, options.seed, options.rate, options.learners, names=options.fault
    )
    run = Run(chosen)
    report = asyncio.run(run.go())
    write_report(report, options.json)
    Console(stderr=options.json == "-", width=None if sys.stdout.isatty() else 200, highlight=False).print(
        report.shown()
    )
    for one in (*report.unproven, *report.verdict.lost[:20], *report.verdict.doubled[:20], *report.verdict.wrong[:20]):
        print(one, file=sys.stderr)
    return 0 if report.holds else 1


if __name__ == "__main__":
    sys.exit(main())
