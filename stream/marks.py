"""When a learner was marked dirty, as the score of the mark: what weak signals mark waits behind hard events."""

from typing import Final

BEHIND_MS: Final = 5_000
"""Marks of activity stand so much earlier than they were set: a flood of views does not hold an enrolment back."""

_WEAK: Final = 0.5  # times are whole ms, so a half tells the two apart; doubles hold it exactly


def weak_score(now_ms: int) -> float:
    """Return the score of a mark that a weak signal sets now; a hard event's is `now_ms` itself.

    >>> weak_score(1_750_000_000_000) < 1_750_000_000_000
    True
    """
    return now_ms - BEHIND_MS + _WEAK


def marked_ms(score: float) -> int:
    """Return when a mark was set.

    >>> marked_ms(1_750_000_000_000.0), marked_ms(weak_score(1_750_000_000_000))
    (1750000000000, 1750000000000)
    """
    return int(score) + BEHIND_MS if score % 1 else int(score)
