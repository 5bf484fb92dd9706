"""The gate: whether a model is good enough to go live."""

from math import sqrt
from typing import Final, NamedTuple

Metrics = dict[str, float]

FEWEST_TESTS: Final = 20
"""With fewer tests nothing can be said against a model."""


class Verdict(NamedTuple):
    """Whether to publish, and why."""

    publish: bool
    reason: str


def judge(metrics: Metrics, champion: Metrics, force: bool) -> Verdict:
    """Return whether a model may go live: not worse than the champion by more than a standard error of hr@10.

    >>> judge({"hr@10": 0.3, "tests": 400}, {"hr@10": 0.1}, force=False).publish
    True
    >>> judge({"hr@10": 0.05, "tests": 400}, {"hr@10": 0.2}, force=False).reason
    'hr@10 0.050 is below the 0.200 of the popular list by more than the error of 0.020 (400 tests)'
    """
    tests = int(metrics.get("tests", 0))
    if tests < FEWEST_TESTS:
        return Verdict(True, f"{tests} tests are too few to judge by")
    own, other = metrics["hr@10"], champion["hr@10"]
    error = sqrt(max(own * (1 - own), other * (1 - other), 1 / tests) / tests)
    if own >= other - error:
        return Verdict(True, f"hr@10 {own:.3f} against {other:.3f} of the popular list ({tests} tests)")
    worse = f"hr@10 {own:.3f} is below the {other:.3f} of the popular list by more than the error of {error:.3f}"
    return Verdict(force, f"{'forced: ' if force else ''}{worse} ({tests} tests)")
