"""The watchdog: what it complains of, and that it ends the process from outside the event loop."""

import subprocess
import sys
import time

import pytest

from stream.watchdog import EXIT_STATUS, UNASSIGNED_S, Pulse

STALL_S = 30.0


def pulse(**ages_s: float) -> Pulse:
    """Return a pulse whose signs are so many seconds old at second 1,000."""
    return Pulse(**{f"{name}_at": 1_000 - ages_s.get(name, 0) for name in ("loop", "progress", "assigned")})


@pytest.mark.parametrize(
    ("ages_s", "complaint"),
    [
        ({}, ""),
        ({"loop": STALL_S, "progress": STALL_S, "assigned": UNASSIGNED_S}, ""),
        ({"loop": STALL_S + 1}, "event loop has been blocked for 31 s"),
        ({"progress": STALL_S + 1}, "nothing was merged for 31 s"),
        ({"assigned": STALL_S + 1}, ""),
        ({"assigned": UNASSIGNED_S + 1}, "no partition was assigned for 61 s"),
    ],
    ids=["well", "just well", "blocked", "stalled", "rebalancing", "outside the group"],
)
def test_it_complains_of_what_lasts_too_long(ages_s: dict[str, float], complaint: str) -> None:
    found = pulse(**ages_s).complaint(1_000, STALL_S)
    assert complaint in found and bool(found) == bool(complaint)


@pytest.mark.parametrize(
    ("beat", "progresses", "is_assigned"),
    [
        ({"has_lag": True, "advanced": False, "healthy": True, "assigned": True}, False, True),
        ({"has_lag": True, "advanced": True, "healthy": True, "assigned": True}, True, True),
        ({"has_lag": False, "advanced": False, "healthy": True, "assigned": True}, True, True),
        ({"has_lag": True, "advanced": False, "healthy": False, "assigned": False}, True, True),
        ({"has_lag": False, "advanced": False, "healthy": True, "assigned": False}, True, False),
    ],
    ids=["stuck", "merging", "idle", "a dependency is away", "nothing assigned"],
)
def test_a_beat_says_what_it_knows(beat: dict[str, bool], progresses: bool, is_assigned: bool) -> None:
    signs = Pulse(loop_at=0, progress_at=0, assigned_at=0)
    before = time.monotonic()
    signs.beat(**beat)
    assert signs.loop_at >= before
    assert (signs.progress_at >= before) == progresses
    assert (signs.assigned_at >= before) == is_assigned


BLOCKED = """
import time
from stream import watchdog
watchdog.start(watchdog.Pulse(), 1.0)
time.sleep(60)  # as a loop that is blocked
"""
BEATING = """
import time
from stream import watchdog
pulse = watchdog.Pulse()
watchdog.start(pulse, 1.0)
for _ in range(24):
    pulse.beat(has_lag=True, advanced=True, healthy=True, assigned=True)
    time.sleep(0.1)
"""


def test_a_blocked_worker_is_ended_and_a_live_one_is_not() -> None:
    began = time.monotonic()
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) for code in (BLOCKED, BEATING)
    ]
    (_, blocked), (_, beating) = [process.communicate(timeout=50) for process in processes]
    assert [process.returncode for process in processes] == [EXIT_STATUS, 0]
    assert "the event loop has been blocked" in blocked and not beating
    assert time.monotonic() - began < 30
