"""How much may be under way at once of what is written: beyond that the answer is 503 at once, and nothing queues."""

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from api.problems import UNAVAILABLE, ProblemError

logger: Final = logging.getLogger(__name__)

LEAST_BYTES: Final = 8_192
"""What any request counts at least: reading, checking and waiting take memory too. One caller, such as an app's
server, may so have some 480 small requests under way: at 200 a second Kafka may stand still for two seconds."""

SLICE: Final = 100
"""Events of a batch that are worked at without a break: a large one must not hold up everybody else's requests."""

_LONGEST_S: Final = 30
_SILENCE_S: Final = 5.0


class Intake:
    """Bytes of request bodies under way, of all callers and of each: one alone may hold half of what is allowed."""

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._by_caller: Counter[bytes] = Counter()
        self._began_at: dict[object, float] = {}
        self.bytes_under_way = 0
        self.num_refused = 0
        self._silent_until = 0.0

    def has_room(self, caller: bytes, size: int) -> bool:
        """Whether a request of this size may be taken now."""
        size = max(size, LEAST_BYTES)
        free = self._max_bytes - self.bytes_under_way
        return size <= free and self._by_caller[caller] + size <= self._max_bytes // 2

    def refusal(self, caller: bytes, size: int) -> ProblemError | None:
        """Return the 503 problem if a request of this size is too much now."""
        if self.has_room(caller, size):
            return None
        self._note_refusal()
        detail = "too much is being written at once; nothing of this request was read, send it again later"
        return ProblemError(503, detail, kind=UNAVAILABLE, headers={"Retry-After": str(self.retry_after_s())})

    @contextmanager
    def under_way(self, caller: bytes, size: int) -> Iterator[None]:
        """Count a request while it is under way."""
        size, request = max(size, LEAST_BYTES), object()
        self._began_at[request] = self._clock()
        self._add(caller, size)
        try:
            yield
        finally:
            del self._began_at[request]
            self._add(caller, -size)

    def _note_refusal(self) -> None:
        """Count it; say so once in a while, for a line each would be one more flood."""
        self.num_refused += 1
        if self._clock() >= self._silent_until:
            self._silent_until = self._clock() + _SILENCE_S
            logger.warning(
                "%d writes were too much so far; %d bytes are under way", self.num_refused, self.bytes_under_way
            )

    def _add(self, caller: bytes, size: int) -> None:
        self.bytes_under_way += size
        self._by_caller[caller] += size
        if not self._by_caller[caller]:
            del self._by_caller[caller]

    def retry_after_s(self) -> int:
        """Return for how long the oldest request under way has been waiting: so slow are writes now."""
        oldest_s = self._clock() - next(iter(self._began_at.values()), self._clock())
        return min(max(math.ceil(oldest_s), 1), _LONGEST_S)
