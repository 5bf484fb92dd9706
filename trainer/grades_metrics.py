"""How predicted grades did: errors, the order of a learner's own courses, and intervals by drawing learners."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainer.intervals import RESAMPLES, TWO_SIDED
from trainer.metrics import TOP, Doubles, mae, rmse

WINDOWS: Final = 20


class Predicted(NamedTuple):
    """Predictions of T grades in the order of time, (T,) each; grades are fractions of their scales."""

    predicted: Doubles
    actual: Doubles
    owners: NDArray[np.int64]  # 0..L - 1, whose grade it is
    known: NDArray[np.bool_]  # whether anybody had a grade in the course when the model was fitted


def metrics_of(found: Predicted) -> dict[str, float]:
    """Return all metrics, with 95 % intervals as `_low` and `_high`.

    `_known` and `_new` are of courses in which somebody had a grade at the last fit, and of those where nobody had.
    """
    errors = found.predicted - found.actual
    squares, sizes = np.square(errors), np.abs(errors)
    predicted, actual, known = found.predicted, found.actual, found.known
    metrics = {"rmse": rmse(predicted, actual), "mae": mae(predicted, actual), **_ranking(found)}
    metrics |= {"rmse_known": rmse(predicted[known], actual[known])}
    metrics |= {"rmse_new": rmse(predicted[~known], actual[~known])}
    low, high = np.sqrt(_interval(found.owners, squares, np.ones_like(squares)))
    metrics |= {"rmse_low": low, "rmse_high": high}
    low, high = _interval(found.owners, sizes, np.ones_like(sizes))
    metrics |= {"mae_low": low, "mae_high": high}
    counts = {"tests": len(errors), "tests_new": int((~found.known).sum()), "learners": len(np.unique(found.owners))}
    return {name: round(float(value), 6) for name, value in {**metrics, **counts}.items()}


def gain_over(own: Predicted, other: Predicted) -> dict[str, float]:
    """Return by which part an RMSE is lower than another's on the same grades, with its 95 % interval."""
    mine, others = np.square(own.predicted - own.actual), np.square(other.predicted - other.actual)
    low, high = 1.0 - np.sqrt(_interval(own.owners, mine, others)[::-1])
    gain = 1.0 - (mine.sum() / others.sum()) ** 0.5
    return {"rmse": round(float(gain), 6), "low": round(float(low), 6), "high": round(float(high), 6)}


def curve_of(found: Predicted) -> list[float]:
    """Return RMSE in `WINDOWS` stretches of tests, oldest first."""
    parts = zip(np.array_split(found.predicted, WINDOWS), np.array_split(found.actual, WINDOWS), strict=True)
    return [round(rmse(predicted, actual), 6) for predicted, actual in parts if len(actual)]


def _interval(owners: NDArray[np.int64], over: Doubles, under: Doubles) -> Doubles:
    """Return the 95 % interval of a ratio of sums; learners are drawn, each with all of his grades."""
    sums = np.stack([np.bincount(owners, over), np.bincount(owners, under)])  # (2, L)
    sums = sums[:, np.bincount(owners) > 0]
    rng, ratios = np.random.default_rng(0), np.empty(RESAMPLES)
    for draw in range(RESAMPLES):
        drawn = sums[:, rng.integers(sums.shape[1], size=sums.shape[1])].sum(axis=1)
        ratios[draw] = drawn[0] / drawn[1]
    interval: Doubles = np.quantile(ratios, TWO_SIDED)
    return interval


def _ranking(found: Predicted) -> dict[str, float]:
    """Return HR@10 and NDCG@10 of each learner's courses in the order of the predictions, averaged over learners.

    A hit: the course with the best grade is among the first ten; only of learners with more than ten courses, it is
    certain for others, and absent if there are only those. The gain of NDCG is the grade. Ties are in the worst order.
    """
    order = np.lexsort((found.actual, -found.predicted, found.owners))
    actual = np.split(found.actual[order], np.flatnonzero(np.diff(found.owners[order])) + 1)
    gains = [ndcg(one) for one in actual if len(one) > 1 and one.any()]
    hits = [one[:TOP].max() == one.max() for one in actual if len(one) > TOP]
    means = {f"{name}@{TOP}": float(np.mean(one)) for name, one in (("hr", hits), ("ndcg", gains)) if one}
    return {**means, "learners_hr": len(hits), "learners_ndcg": len(gains)}


def ndcg(grades: Doubles) -> float:
    """Return NDCG@10 of grades in the order in which they were ranked.

    >>> round(ndcg(np.array([0.5, 1.0])), 4)
    0.8597
    """
    discounts = 1.0 / np.log2(np.arange(2, min(len(grades), TOP) + 2))
    best = np.sort(grades)[::-1]
    return float(grades[:TOP] @ discounts / (best[:TOP] @ discounts))
