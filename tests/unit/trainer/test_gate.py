"""The gate, on ranks alone: what it lets pass, what it refuses, and what it says."""

import numpy as np
import pytest
from numpy.typing import NDArray

from trainer.champion import Champion
from trainer.evaluate import Evaluation, Ranking, metrics_of
from trainer.gate import Duel, compare, judge
from trainer.text import bootstrap_model

CHAMPION = Champion("m-champion", bootstrap_model({}), 1, advantage=0.2)


def _ranks(share: float, tests: int = 400, seed: int = 0) -> NDArray[np.int64]:
    """Return ranks of which this share is 1 and the rest is not listed."""
    return np.random.default_rng(seed).permutation(np.where(np.arange(tests) < share * tests, 1, 0))


def _ranking(ranks: NDArray[np.int64], cases_each: int = 1) -> Ranking:
    return Ranking(ranks, np.arange(len(ranks)) // cases_each, metrics_of(ranks, set(), 0))


def _tail(own: float, popular: float, tests: int = 400) -> Evaluation:
    return Evaluation(_ranking(_ranks(own, tests)), _ranking(_ranks(popular, tests, seed=1)))


def _duel(own: float, champion: float, popular: float, tests: int = 400) -> Duel:
    return Duel(_tail(own, popular, tests), _ranking(_ranks(champion, tests, seed=2)))


def test_the_interval_is_paired_and_the_same_each_time() -> None:
    own = _ranking(_ranks(0.3))
    one, again = (compare(own, _ranking(np.where(own.ranks == 1, 3, 0)), "v") for _ in range(2))
    assert one == again
    assert 0.1 < one.low < 0.15 < one.high < 0.2
    nobody = compare(own, own, "v")
    assert (nobody.low, nobody.high, nobody.own) == (0.0, 0.0, nobody.other)


def test_without_anything_new_a_champion_stays() -> None:
    verdict = judge(_tail(0.3, 0.1), CHAMPION, None, "0 tests since m-champion are too few", False, is_newer=False)
    assert not verdict.publish
    assert "m-champion has seen all of this log" in verdict.reason
    assert judge(_tail(0.3, 0.1), CHAMPION, None, "", True, is_newer=False).publish
    seen, ends = CHAMPION._replace(offsets=(5, 7)), ([5, 7], [4, 7], [5, 8], [4, 8])
    assert [seen.lacks({"learner-events": one}) for one in ends] == [False, False, True, True]


def test_cases_of_one_learner_are_drawn_together() -> None:
    """Equal models, but whoever a learner likes, he likes in all of his 20 cases: often seen as worse case by case."""
    refused = {1: 0, 20: 0}
    for seed in range(60):
        own, other = np.repeat(np.random.default_rng(seed).integers(2, size=(2, 100)), 20, axis=1)
        for each in refused:
            refused[each] += compare(_ranking(own, each), _ranking(other, each), "v").high < 0
    assert refused[20] <= 6 < 12 < refused[1]


@pytest.mark.parametrize(
    ("tail", "duel", "passes"),
    [
        (_tail(0.3, 0.1), None, True),
        (_tail(0.2, 0.2), None, True),
        (_tail(0.1, 0.2), None, False),
        (_tail(0.0, 1.0, tests=19), None, True),
        (_tail(0.3, 0.1), _duel(0.3, 0.3, 0.1), True),
        (_tail(0.3, 0.1), _duel(0.2, 0.35, 0.05), False),
        (_tail(0.0, 0.0, tests=0), _duel(0.2, 0.35, 0.05), False),
        (_tail(0.1, 0.2), _duel(0.3, 0.3, 0.1), False),
        (_tail(0.3, 0.1), _duel(0.1, 0.1, 0.1), False),
        (_tail(0.3, 0.1), _duel(0.2, 0.2, 0.1), True),
    ],
)
def test_what_passes(tail: Evaluation, duel: Duel | None, passes: bool) -> None:
    verdict = judge(tail, CHAMPION if duel else None, duel, "", force=False)
    assert verdict.publish is passes, verdict.reason
    forced = judge(tail, CHAMPION if duel else None, duel, "", force=True)
    assert forced.publish and forced.reason.startswith("forced: ") is not passes


def test_reasons_name_the_figures() -> None:
    worse = judge(_tail(0.1, 0.3), None, None, "", force=False).reason
    assert "of the popular list" in worse and "(400 tests)" in worse
    beaten = judge(_tail(0.3, 0.1), CHAMPION, _duel(0.2, 0.4, 0.05), "", force=False).reason
    assert "of m-champion, by" in beaten
    pointless = judge(_tail(0.3, 0.1), CHAMPION, _duel(0.1, 0.1, 0.1), "", force=False).reason
    assert pointless.startswith("the events since m-champion teach little")
    few = judge(_tail(0.3, 0.1, tests=5), None, None, "there is no champion yet", force=False)
    assert few.reason == "5 tests are too few to judge by; there is no champion yet" and few.comparisons == ()


def test_figures_are_of_the_cases_that_were_fought_on() -> None:
    tail, duel = _tail(0.3, 0.1), _duel(0.3, 0.25, 0.05, tests=150)
    verdict = judge(tail, CHAMPION, duel, "", force=False)
    assert verdict.metrics["tests"] == verdict.champion_metrics["tests"] == verdict.popular_metrics["tests"] == 150
    assert [one.against for one in verdict.comparisons] == ["popular", "m-champion", "popular"]
    alone = judge(tail, CHAMPION, None, "3 tests since m-champion are too few", force=False)
    assert alone.champion_metrics == alone.popular_metrics == tail.popular.metrics
    assert alone.reason.endswith("3 tests since m-champion are too few")


def test_a_champion_without_an_advantage_asks_for_none() -> None:
    modest = CHAMPION._replace(advantage=0.0)
    assert judge(_tail(0.3, 0.1), modest, _duel(0.1, 0.1, 0.1), "", force=False).publish
