"""When a bundle that could not be loaded is tried again."""

import time
from typing import Final, NamedTuple

FIRST_RETRY_S: Final = 2.0
LONGEST_RETRY_S: Final = 300.0
"""A bundle that can't be loaded is tried again after so long, each time twice as long as before, up to this."""

_DOUBLINGS: Final = 10
"""After as many the longest is long reached; the power of a count that grows for days would be no float."""


class Attempts(NamedTuple):
    """How often it could not be loaded, and from which moment of the monotonic clock on it is due again."""

    failed: int = 0
    next_at: float = 0.0

    @property
    def is_due(self) -> bool:
        """Whether it may be tried now."""
        return time.monotonic() >= self.next_at

    def after_failure(self) -> "Attempts":
        """Return the same after one more.

        >>> Attempts(5_000).after_failure().failed
        5001
        """
        pause_s = min(FIRST_RETRY_S * 2 ** min(self.failed, _DOUBLINGS), LONGEST_RETRY_S)
        return Attempts(self.failed + 1, time.monotonic() + pause_s)
