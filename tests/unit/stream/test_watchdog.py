"""The watchdog: what it complains of, what it excuses, and that it ends the process from outside the event loop."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import pytest

from stream.watchdog import CHECK_S, EXIT_STATUS, JOIN_S, SLOW_S, UNASSIGNED_S, Pulse, Sign, limits_s

STALL_S: Final = 30.0
LIMITS: Final = limits_s(STALL_S)
OWN: Final = {Sign.CHECK: STALL_S + CHECK_S, Sign.SLOW: SLOW_S, Sign.GROUP: UNASSIGNED_S, Sign.JOIN: JOIN_S}


def pulse(sign: Sign, age_s: float) -> Pulse:
    """Return a pulse that saw this sign so many seconds before second 1,000, and all others just then."""
    found = Pulse()
    found.seen_at = {**dict.fromkeys(Sign, 1_000.0), sign: 1_000 - age_s}
    return found


@pytest.mark.parametrize("sign", Sign)
def test_it_complains_of_each_sign_that_is_missing_too_long(sign: Sign) -> None:
    limit_s = OWN.get(sign, STALL_S)
    assert pulse(sign, limit_s).complaint(1_000, LIMITS) == ""
    assert pulse(sign, limit_s + 1).complaint(1_000, LIMITS) == f"{sign} for {limit_s + 1:.0f} s"


def test_what_nobody_could_see_is_not_missing() -> None:
    found = pulse(Sign.MERGE, STALL_S + 1)
    found.seen_at[Sign.CHECK] -= 25
    assert found.complaint(1_000, LIMITS) == ""
    found.seen_at[Sign.LOOP] -= STALL_S + 1
    assert found.complaint(1_000, LIMITS) == f"{Sign.LOOP} for 31 s"


def test_a_sign_that_is_seen_is_new() -> None:
    found, before = pulse(Sign.MERGE, STALL_S + 1), time.monotonic()
    found.see(Sign.MERGE)
    assert found.seen_at[Sign.MERGE] >= before


def test_time_that_the_process_did_not_run_is_left_out_and_no_more() -> None:
    found = pulse(Sign.MERGE, STALL_S + 20)
    found.excuse(20, 1_000)
    assert found.complaint(1_000, LIMITS) == ""
    assert found.seen_at[Sign.LOOP] == 1_000, "what was just seen was not seen in the future"
    found.seen_at |= {Sign.LOOP: 1_001, Sign.CHECK: 1_001}
    assert found.complaint(1_001, LIMITS) == f"{Sign.MERGE} for 31 s"


_START: Final = """
import os, pathlib, time
from stream import watchdog
pulse = watchdog.Pulse()
watchdog.start(pulse, 2.0, pathlib.Path(os.environ["READY_FILE"]))
print("watched", flush=True)
"""
BLOCKED: Final = _START + "time.sleep(60)  # as a loop that is blocked"
BEATING: Final = (
    _START
    + """
while not pathlib.Path(os.environ["READY_FILE"] + ".end").exists():
    for sign in watchdog.Sign:
        pulse.see(sign)
    time.sleep(0.1)
"""
)


def run(code: str, ready_file: Path) -> "subprocess.Popen[str]":
    """Start a process with a watchdog, and wait until it is watched."""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "READY_FILE": str(ready_file)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "watched\n"
    return process


def test_a_blocked_worker_is_ended_and_one_that_was_only_stopped_is_not(tmp_path: Path) -> None:
    ready_file = tmp_path / "ready"
    ready_file.touch()
    os.utime(ready_file, (0, 0))
    beating = run(BEATING, ready_file)
    beating.send_signal(signal.SIGSTOP)
    blocked = run(BLOCKED, tmp_path / "none")
    _, said = blocked.communicate(timeout=60)  # so long, longer than the limit, the other one was stopped
    assert blocked.returncode == EXIT_STATUS and f"{Sign.LOOP} for " in said
    os.utime(ready_file, (0, 0))
    beating.send_signal(signal.SIGCONT)
    deadline = time.monotonic() + 60
    while ready_file.stat().st_mtime == 0:  # its watchdog has looked again
        assert time.monotonic() < deadline and beating.poll() is None
        time.sleep(0.05)
    (tmp_path / "ready.end").touch()
    _, said = beating.communicate(timeout=60)
    assert beating.returncode == 0 and not said
