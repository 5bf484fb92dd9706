"""The watchdog: a thread that ends a worker which no longer gets on, so that its supervisor starts a new one.

It watches from outside the event loop, since a blocked loop is one of the things it looks for. It does not bite while a
dependency is away: a worker that waits for Redis or Kafka is doing its work.
"""

import logging
import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Final

logger: Final = logging.getLogger(__name__)

UNASSIGNED_S: Final = 60.0
JOIN_S: Final = 90.0
"""Less than what a supervisor gives a worker to be ready."""
SLOW_S: Final = 600.0
CHECK_S: Final = 15.0
"""What a check may take beyond the limit: it waits for dependencies."""
EXIT_STATUS: Final = 70

_TICK_S: Final = 1.0


class Sign(StrEnum):
    """A sign of life; its value says what is wrong when it was not seen for too long."""

    LOOP = "the event loop has been blocked"
    CHECK = "the checks of the shards have not come to an end"
    MERGE = "there is lag, and nothing was merged"
    DELIVERY = "events come in, and an agent was given none"
    REFRESH = "no list was computed, nor looked for one to compute"
    FOLLOW = "control or courses has grown, and was not read"
    SLOW = "a model has been loading, or a lost state been wiped,"
    GROUP = "the group has given no partition, or others than are owned,"
    JOIN = "the group could not be joined"


def limits_s(stall_s: float) -> dict[Sign, float]:
    """Return how long each sign may be missing."""
    own = {Sign.CHECK: stall_s + CHECK_S, Sign.SLOW: SLOW_S, Sign.GROUP: UNASSIGNED_S, Sign.JOIN: JOIN_S}
    return {sign: own.get(sign, stall_s) for sign in Sign}


class Pulse:
    """When each sign was last seen, in seconds of the monotonic clock; written by the loop, read by the watchdog."""

    def __init__(self) -> None:
        self.seen_at = dict.fromkeys(Sign, time.monotonic())

    def see(self, sign: Sign) -> None:
        """Note that something is well."""
        self.seen_at[sign] = time.monotonic()

    def excuse(self, seconds: float, now: float) -> None:
        """Leave out seconds in which this process was not running at all: nothing could be seen in them."""
        for sign, seen_at in self.seen_at.items():
            self.seen_at[sign] = min(seen_at + seconds, now)

    def complaint(self, now: float, limits: Mapping[Sign, float]) -> str:
        """Return what is wrong, empty if nothing is.

        A sign is missing only as far as somebody looked: a blocked loop checks nothing, and a check that hangs sees
        nothing.
        """
        looked_at = {Sign.LOOP: now, Sign.CHECK: self.seen_at[Sign.LOOP]}
        for sign, limit_s in limits.items():
            missing_s = looked_at.get(sign, self.seen_at[Sign.CHECK]) - self.seen_at[sign]
            if missing_s > limit_s:
                return f"{sign} for {missing_s:.0f} s"
        return ""


def _beat(ready_file: Path | None) -> None:
    """Show the supervisor that threads of this process still run: it looks at the time of the file."""
    if ready_file:
        with suppress(OSError):  # none yet: the worker has not joined its group
            os.utime(ready_file)


def _watch(pulse: Pulse, stall_s: float, ready_file: Path | None) -> None:
    limits, before = limits_s(stall_s), time.monotonic()
    while True:
        time.sleep(_TICK_S)
        now = time.monotonic()
        # A stopped process that goes on, or a machine that let even this thread wait, first gets the time to show life.
        pulse.excuse(max(0.0, now - before - _TICK_S), now)
        before = now
        _beat(ready_file)
        complaint = pulse.complaint(now, limits)
        if complaint:
            logger.critical("watchdog: %s; ending the worker", complaint)
            logging.shutdown()
            os._exit(EXIT_STATUS)


def start(pulse: Pulse, stall_s: float, ready_file: Path | None = None) -> None:
    """Start watching."""
    threading.Thread(target=_watch, args=(pulse, stall_s, ready_file), name="watchdog", daemon=True).start()
