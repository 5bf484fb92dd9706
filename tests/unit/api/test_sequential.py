"""The sequential test: published values, and by simulation that looking on all the time deceives nobody."""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy.stats import betabinom, binom

from api.sequential import ALPHA, CONCENTRATION, JEFFREYS, Count, compare, interval, log_evidence

LOOKS = 2_000
ARM_SHARES = (0.5, 0.1)
Array = np.ndarray[Any, Any]


@pytest.mark.parametrize(
    ("counts", "share", "p_value", "bounds"),
    [
        ((30, 10), 0.5, 0.05502696, (0.49761638, 0.92067738)),
        ((60, 40), 0.5, 0.45733307, (0.45496826, 0.73404331)),
        ((520, 480), 0.5, 1.0, (0.47008738, 0.56964734)),
        ((40, 10), 0.75, 1.0, (0.62244640, 0.92135298)),
        ((3, 0), 0.5, 0.875, (0.19258568, 1.0)),
        ((900, 60), 0.9, 0.00141335, (0.90982310, 0.95916050)),
    ],
)
def test_values_are_those_of_savvi(
    counts: tuple[int, int], share: float, p_value: float, bounds: tuple[float, float]
) -> None:
    """Multinomial(alpha=0.05, theta_0=(share, 1 - share), k=20) of savvi 0.3.1, by the authors of the method."""
    assert CONCENTRATION == 20
    found = compare(*counts, odds=share / (1 - share))
    assert found.p_value == pytest.approx(p_value, rel=1e-5)
    low, high = interval(Count(*counts), (20 * share, 20 * (1 - share)))
    assert (low, high) == pytest.approx(bounds, abs=1e-6)
    relative = [part / (1 - part) * (1 - share) / share - 1 if part < 1 else math.inf for part in (low, high)]
    assert [found.low, found.high] == pytest.approx(relative, rel=1e-4)


@pytest.mark.parametrize(
    ("ones", "zeros", "theta"), [(0, 0, 0.3), (7, 0, 0.3), (0, 9, 0.3), (40, 70, 0.3), (4, 4, 0.5)]
)
@pytest.mark.parametrize("prior", [JEFFREYS, (1.0, 1.0), (14.0, 6.0)])
def test_evidence_is_a_ratio_of_beta_binomial_and_binomial(
    ones: int, zeros: int, theta: float, prior: tuple[float, float]
) -> None:
    total = ones + zeros
    ratio = betabinom.logpmf(ones, total, *prior) - binom.logpmf(ones, total, theta)
    assert log_evidence(Count(ones, zeros), theta, prior) == pytest.approx(ratio, abs=1e-9)


def test_without_hits_nothing_is_known() -> None:
    assert interval(Count(0, 0)) == (0.0, 1.0)
    found = compare(0, 0, odds=1)
    assert (found.low, found.high, found.p_value, found.verdict) == (-1.0, math.inf, 1.0, "undecided")
    assert compare(9, 0, odds=1).effect == math.inf and compare(0, 9, odds=1).effect == -1.0


@pytest.mark.parametrize(("hits", "control"), [(0, 30), (30, 0), (40, 20), (20, 40), (44, 40), (400, 300), (1, 1)])
@pytest.mark.parametrize("others", [1, 3])
def test_bounds_p_value_and_verdict_say_the_same(hits: int, control: int, others: int) -> None:
    found = compare(hits, control, odds=1, others=others)
    assert found.low <= found.effect <= found.high
    assert (found.p_value <= ALPHA) == (found.low > 0 or found.high < 0) == (found.verdict != "undecided")
    turned = compare(control, hits, odds=1, others=others)
    opposite = {"better": "worse", "worse": "better", "undecided": "undecided"}
    assert turned.verdict == opposite[found.verdict] and turned.p_value == pytest.approx(found.p_value)


def test_each_of_several_arms_needs_more_evidence() -> None:
    one, three = compare(60, 30, odds=1), compare(60, 30, odds=1, others=3)
    assert three.p_value == pytest.approx(3 * one.p_value)
    assert three.low < one.low and three.high > one.high


@cache
def decisive(share: float) -> tuple[Array, Array]:
    """Return for 0 to `LOOKS` hits up to, and from, how many of an arm's the verdict is worse, and better."""
    odds, prior = share / (1 - share), (CONCENTRATION * share, CONCENTRATION * (1 - share))
    bounds = []
    for total in range(LOOKS + 1):

        def is_undecided(hits: int, total: int = total) -> bool:
            return log_evidence(Count(hits, total - hits), share, prior) < -math.log(ALPHA)

        middle = round(total * share)
        low = next((hits for hits in range(middle, -1, -1) if not is_undecided(hits)), -1)
        high = next((hits for hits in range(middle, total + 1) if not is_undecided(hits)), total + 1)
        bounds.append((low, high))
    for total in (50, 500, LOOKS):  # they are those of what is answered
        low, high = bounds[total]
        verdicts = [compare(hits, total - hits, odds).verdict for hits in (low, low + 1, high - 1, high)]
        assert verdicts == ["worse", "undecided", "undecided", "better"] or low == -1
    found = np.array(bounds)
    return found[:, 0], found[:, 1]


def looked_at(share: float, part: float, experiments: int, seed: int) -> tuple[Array, Array]:
    """Return of experiments, looked at after each hit, whether and after how many hits they were decided.

    `part`: the probability that a hit is the arm's, as it follows from the share if arms make no difference.
    """
    walks = np.cumsum(np.random.default_rng(seed).random((experiments, LOOKS)) < part, axis=1)
    worse, better = (bound[1:] for bound in decisive(share))
    decided = np.array((walks <= worse) | (walks >= better))
    was_decided = np.asarray(decided.any(axis=1))
    return was_decided, np.where(was_decided, decided.argmax(axis=1) + 1, LOOKS)


@pytest.mark.parametrize("share", ARM_SHARES)
def test_who_looks_after_every_hit_is_deceived_in_one_of_twenty_experiments_at_most(share: float) -> None:
    was_decided, _ = looked_at(share, share, experiments=2_000, seed=1)
    assert 0.005 < was_decided.mean() <= ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / 2_000)


def test_who_looks_at_a_fixed_sample_test_all_the_time_is_deceived_in_most() -> None:
    """What the sequential test is there for."""
    walks = np.cumsum(np.random.default_rng(1).random((500, LOOKS)) < 0.5, axis=1)[:, 30:]
    totals = np.arange(31, LOOKS + 1)
    assert (np.abs(walks - totals / 2) > 1.96 * np.sqrt(totals) / 2).any(axis=1).mean() > 0.3


@pytest.mark.parametrize(("ratio", "within"), [(1.2, 1_900), (1.5, 400), (2.0, 150), (3.0, 70)])
def test_an_arm_that_hits_more_often_is_found_out(ratio: float, within: int) -> None:
    was_decided, hits = looked_at(0.5, ratio / (1 + ratio), experiments=1_000, seed=2)
    assert was_decided.mean() > 0.8
    assert np.quantile(hits, 0.8) < within


def covers_always(theta: float, looks: Sequence[int], seed: int, experiments: int = 400) -> float:
    """Return in which share of experiments the confidence sequence held the truth at every look."""
    walks = np.cumsum(np.random.default_rng(seed).random((experiments, max(looks))) < theta, axis=1)
    within: dict[tuple[int, int], bool] = {}
    held = np.ones(experiments, dtype=bool)
    for look in looks:
        for number, ones in enumerate(walks[:, look - 1].tolist()):
            if (ones, look) not in within:
                low, high = interval(Count(ones, look - ones))
                within[ones, look] = low <= theta <= high
            held[number] &= within[ones, look]
    return float(held.mean())


@pytest.mark.parametrize("theta", [0.05, 0.4])
def test_a_hit_rates_bounds_hold_at_all_looks_at_once(theta: float) -> None:
    assert covers_always(theta, [1, 2, 5, *range(10, 1_000, 30)], seed=3) >= 1 - ALPHA - 0.02
