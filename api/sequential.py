"""Inference that stays valid however often, and for whatever reason, it is looked at.

The evidence against a probability theta is a mixture of likelihood ratios over a Beta prior: if theta is true, a
martingale that starts at 1, and so ever reaches 1 / alpha with a probability of at most alpha (Ville). The thetas below
that are a confidence sequence: it covers the true one at all times with a probability of 1 - alpha (Robbins 1970).

Arms are compared by whose hits the hits are (Lindon and Malek 2022, Anytime-Valid Inference for Multinomial Count
Data). A learner counts once, and a hash decides the arm; so if arms make no difference, each hit is an arm's with the
probability of its share, whatever learners are like and however that changes from day to day: the test is exact.
"""

import math
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

ALPHA: Final = 0.05
CONCENTRATION: Final = 20.0
"""Of the prior of an arm's part of the hits: it takes the fewest hits where arms differ by a fifth to threefold."""

_HALVINGS: Final = 50

Prior = tuple[float, float]
JEFFREYS: Final[Prior] = (0.5, 0.5)


class Count(NamedTuple):
    """Independent trials that went one way and the other."""

    ones: int
    zeros: int


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _times_log(number: int, value: float) -> float:
    """Return number * log(value), where nothing of an impossible value is certain."""
    return 0.0 if number == 0 else -math.inf if value <= 0 else number * math.log(value)


def log_evidence(count: Count, theta: float, prior: Prior) -> float:
    """Return the natural logarithm of the evidence against a probability theta of a one.

    >>> round(math.exp(log_evidence(Count(3, 0), 0.5, (1, 1))), 6)  # (1 / 4) / (1 / 2) ** 3
    2.0
    """
    mixture = _log_beta(prior[0] + count.ones, prior[1] + count.zeros) - _log_beta(*prior)
    return mixture - _times_log(count.ones, theta) - _times_log(count.zeros, 1 - theta)


def _bound(outside: float, inside: float, holds: Callable[[float], bool]) -> float:
    """Return where between them `holds`, true inside, ceases to be."""
    for _ in range(_HALVINGS):
        middle = (outside + inside) / 2
        outside, inside = (outside, middle) if holds(middle) else (middle, inside)
    return outside


def interval(count: Count, prior: Prior = JEFFREYS, alpha: float = ALPHA) -> tuple[float, float]:
    """Return the confidence sequence's bounds of the probability of a one.

    >>> [round(bound, 3) for bound in interval(Count(30, 70))]
    [0.166, 0.463]
    """
    if not sum(count):
        return 0.0, 1.0
    likeliest = count.ones / sum(count)

    def holds(theta: float) -> bool:
        return log_evidence(count, theta, prior) < -math.log(alpha)

    low = _bound(0.0, likeliest, holds) if count.ones else 0.0
    high = _bound(1.0, likeliest, holds) if count.zeros else 1.0
    return low, high


class Comparison(NamedTuple):
    """An arm against the control: relative difference in hits a learner, its bounds, and an always-valid p-value."""

    effect: float
    low: float
    high: float
    p_value: float

    @property
    def verdict(self) -> Literal["undecided", "better", "worse"]:
        """What may be concluded."""
        return "better" if self.low > 0 else "worse" if self.high < 0 else "undecided"


def _relative(hits: float, control_hits: float, odds: float) -> float:
    """Return by how much more often than the control an arm hits; infinite where the control never does."""
    return hits / control_hits / odds - 1 if control_hits else math.inf


def compare(hits: int, control_hits: int, odds: float, others: int = 1) -> Comparison:
    """Compare an arm with the control.

    Parameters
    ----------
    hits, control_hits : learners whose first test was a hit
    odds : the arm's share of the learners, as a multiple of the control's
    others : how many arms are compared with the control: each at its part of `ALPHA`, so that all hold at once

    >>> found = compare(120, 60, odds=1)
    >>> found.effect, round(found.low, 2), round(found.high, 2), round(found.p_value, 5), found.verdict
    (1.0, 0.22, 2.38, 0.00033, 'better')
    """
    count, theta = Count(hits, control_hits), odds / (1 + odds)
    prior = CONCENTRATION * theta, CONCENTRATION * (1 - theta)
    low, high = interval(count, prior, ALPHA / others)
    return Comparison(
        effect=_relative(hits, control_hits, odds),
        low=_relative(low, 1 - low, odds),
        high=_relative(high, 1 - high, odds),
        p_value=min(1.0, others * math.exp(-log_evidence(count, theta, prior))),
    )
