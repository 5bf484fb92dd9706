"""The gate: whether a model is good enough to go live.

A model is refused if, on the same cases, it is worse than another by more than chance explains: if the bootstrap
interval of the difference in NDCG@10 lies below 0, one-sided 95 %. The others are the popular list on the tail of the
log, and the champion on what has happened since that was fitted. Where a champion was better than the popular list,
what is to take its place must have kept half of that advantage: events that teach nothing would pass the other two.
"""

from typing import Final, NamedTuple

import numpy as np

from schemas.manifest import Comparison
from trainer.champion import Champion
from trainer.evaluate import Evaluation, Ranking
from trainer.intervals import resampled_means
from trainer.metrics import gains_of
from trainer.verdict import Verdict

FEWEST_TESTS: Final = 20
"""With fewer tests nothing can be said against a model."""
FEWEST_NEW_TESTS: Final = 100
"""With fewer tests since the champion was fitted the two are not compared."""
POPULAR: Final = "popular"

_ONE_SIDED: Final = (0.05, 0.95)
_KEPT: Final = 0.5


class Duel(NamedTuple):
    """What the recipe, the champion and the popular list came to on what happened since the champion was fitted."""

    own: Evaluation
    champion: Ranking


def compare(own: Ranking, other: Ranking, against: str) -> Comparison:
    """Return how two did on the same cases, at least one; the resamples are always the same."""
    gains, others = gains_of(own.ranks), gains_of(other.ranks)
    bounds = np.quantile(resampled_means((gains - others)[:, None], own.owners)[:, 0], _ONE_SIDED)
    means = round(float(gains.mean()), 6), round(float(others.mean()), 6)
    low, high = bounds.round(6).tolist()
    return Comparison(against=against, own=means[0], other=means[1], low=low, high=high, tests=len(own.ranks))


def judge(
    tail: Evaluation, champion: Champion | None, duel: Duel | None, absent: str, force: bool, is_newer: bool = True
) -> Verdict:
    """Return the verdict on a model. `absent` says why there is no duel, if there is none.

    `is_newer`: whether the log holds anything that the champion has not seen; else nothing can be said for a change.
    """
    tests = len(tail.hybrid.ranks)
    comparisons: list[Comparison] = []
    objections: list[str] = []
    if tests >= FEWEST_TESTS:
        comparisons.append(compare(tail.hybrid, tail.popular, POPULAR))
        objections += _worse(comparisons[0], "the popular list")
    if duel is not None and champion is not None:
        since = compare(duel.own.hybrid, duel.own.popular, POPULAR)
        against = compare(duel.own.hybrid, duel.champion, champion.version)
        comparisons += [against, since]
        objections += _worse(against, champion.version) + _pointless(since, champion)
    if champion is not None and not is_newer:
        objections.append(f"{champion.version} has seen all of this log: there is nothing to compare the two by")
    shown, other = (duel.own, duel.champion) if duel else (tail, tail.popular)
    figures = shown.hybrid.metrics, other.metrics, shown.popular.metrics, tuple(comparisons)
    if objections:
        return Verdict(force, f"{'forced: ' if force else ''}{'; '.join(objections)}", *figures)
    return Verdict(True, "; ".join([*map(_said, comparisons[:2]), *_remarks(tests, absent)]), *figures)


def _said(one: Comparison) -> str:
    return f"{one.metric} {one.own:.3f} against {one.other:.3f} of {one.against} ({one.tests} tests)"


def _remarks(tests: int, absent: str) -> list[str]:
    few = [f"{tests} tests are too few to judge by"] if tests < FEWEST_TESTS else []
    return few + ([absent] if absent else [])


def _worse(one: Comparison, name: str) -> list[str]:
    """Return what speaks against a model that is worse than another."""
    if one.high >= 0:
        return []
    return [
        f"{one.metric} {one.own:.3f} is below the {one.other:.3f} of {name}, "
        f"by {-one.high:.3f} at least ({one.tests} tests)"
    ]


def _pointless(since: Comparison, champion: Champion) -> list[str]:
    """Return what speaks against a model that has lost what its champion knew better than the popular list."""
    if champion.advantage <= 0 or since.high >= _KEPT * champion.advantage:
        return []
    now, before, name = since.own - since.other, champion.advantage, champion.version
    return [
        f"the events since {name} teach little: on them {since.metric} is {now:+.3f} beside the popular list "
        f"({since.tests} tests), it was {before:+.3f} when {name} was made"
    ]
