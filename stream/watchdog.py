"""The watchdog: a thread that ends a worker which no longer gets on, so that its supervisor starts a new one.

It watches from outside the event loop, since a blocked loop is one of the things it looks for. It does not bite while a
dependency is away: a worker that waits for Redis or Kafka is doing its work.
"""

import logging
import os
import threading
import time
from dataclasses import dataclass, field
from typing import Final

logger: Final = logging.getLogger(__name__)

UNASSIGNED_S: Final = 60.0
EXIT_STATUS: Final = 70


@dataclass
class Pulse:
    """Signs of life, in seconds of the monotonic clock; written by the event loop, read by the watchdog."""

    loop_at: float = field(default_factory=time.monotonic)
    progress_at: float = field(default_factory=time.monotonic)
    assigned_at: float = field(default_factory=time.monotonic)

    def beat(self, *, has_lag: bool, advanced: bool, healthy: bool, assigned: bool) -> None:
        """Note that the loop turns, and what it knows of itself."""
        self.loop_at = now = time.monotonic()
        if advanced or not has_lag or not healthy:
            self.progress_at = now
        if assigned or not healthy:
            self.assigned_at = now

    def complaint(self, now: float, stall_s: float) -> str:
        """Return what is wrong, empty if nothing is.

        >>> Pulse(loop_at=0, progress_at=9, assigned_at=9).complaint(now=10, stall_s=5)
        'the event loop has been blocked for 10 s'
        """
        if now - self.loop_at > stall_s:
            return f"the event loop has been blocked for {now - self.loop_at:.0f} s"
        if now - self.progress_at > stall_s:
            return f"there is lag, and nothing was merged for {now - self.progress_at:.0f} s"
        if now - self.assigned_at > UNASSIGNED_S:
            return f"no partition was assigned for {now - self.assigned_at:.0f} s"
        return ""


def _watch(pulse: Pulse, stall_s: float) -> None:
    while True:
        time.sleep(1)
        complaint = pulse.complaint(time.monotonic(), stall_s)
        if complaint:
            logger.critical("watchdog: %s; ending the worker", complaint)
            logging.shutdown()
            os._exit(EXIT_STATUS)


def start(pulse: Pulse, stall_s: float) -> None:
    """Start watching."""
    threading.Thread(target=_watch, args=(pulse, stall_s), name="watchdog", daemon=True).start()
