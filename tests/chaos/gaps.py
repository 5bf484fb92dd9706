"""The longest time without something that should happen all the time."""

import time


class Gaps:
    """Notes when something happened, and the longest pause."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self.count = 0
        self._last = time.monotonic()

    def note(self) -> None:
        """Note that it happened."""
        now = time.monotonic()
        self.longest_s = max(self.longest_s, now - self._last)
        self._last = now
        self.count += 1
