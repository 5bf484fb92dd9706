"""What is answered of an experiment, from the figures of its arms."""

from dataclasses import replace

import pytest

from api.routes_experiments import answer_of
from api.sequential import compare
from schemas.candidates import Strategy
from schemas.experiments import Arm, Experiment, ExperimentStarted, Figures, Refusal


def experiment(**shares: float) -> Experiment:
    """Return an experiment whose arms have these shares."""
    strategies: tuple[Strategy, ...] = ("hybrid", "popular", "content")
    arms = tuple(
        Arm(name=name, strategy=strategy, share=share)
        for (name, share), strategy in zip(shares.items(), strategies, strict=False)
    )
    return Experiment(ExperimentStarted(name="x", salt="s", arms=arms), epoch=7, started_ms=1_000)


def test_arms_are_compared_by_hits_for_their_share_of_the_learners() -> None:
    found = answer_of(
        experiment(control=0.8, new=0.2),
        {"control": Figures(800, 900, 70, 500, 400, 200), "new": Figures(200, 210, 30, 150, 100, 75)},
    )
    control, new = found.arms
    assert (control.learners, control.lists, control.clicks, control.enrolments) == (800, 900, 70, 500)
    assert (control.hit_rate, new.hit_rate) == (0.5, 0.75)
    assert control.hit_rate_low is not None and 0.4 < control.hit_rate_low < 0.5
    (compared,) = found.comparisons
    assert (compared.arm, compared.control, compared.effect) == ("new", "control", 0.5)
    assert compared.p_value == pytest.approx(compare(75, 200, odds=0.25).p_value, rel=1e-3)
    assert (found.state, found.started_at, found.ended_at) == ("running", "1970-01-01T00:00:01.000000Z", None)


def test_before_anybody_came_nothing_is_known() -> None:
    found = answer_of(experiment(control=0.5, new=0.5), {})
    assert [(arm.learners, arm.hit_rate, arm.hit_rate_low, arm.hit_rate_high) for arm in found.arms] == [
        (0, None, 0.0, 1.0),
        (0, None, 0.0, 1.0),
    ]
    (compared,) = found.comparisons
    assert (compared.effect, compared.low, compared.high, compared.p_value) == (None, -1.0, None, 1.0)
    assert compared.verdict == "undecided"


def test_each_of_two_arms_is_held_to_its_part_of_the_error() -> None:
    hits = {"control": Figures(hits=60), "a": Figures(hits=100), "b": Figures(hits=10)}
    found = answer_of(experiment(control=0.4, a=0.3, b=0.3), hits)
    assert [one.arm for one in found.comparisons] == ["a", "b"]
    assert found.comparisons[0].p_value == pytest.approx(compare(100, 60, 0.75, others=2).p_value, rel=1e-3)
    assert [one.verdict for one in found.comparisons] == ["better", "worse"]


def test_a_model_is_named_and_if_it_was_refused_why() -> None:
    arms = tuple(
        Arm(name=name, share=0.25, model=model) for name, model in zip("abcd", ("", "m", "m", "n"), strict=True)
    )
    record = ExperimentStarted(name="x", salt="s", arms=arms)
    running = Experiment(record, epoch=7, started_ms=1_000, refusals=(Refusal("m", 9, "it is gone"),))
    found = answer_of(running, {})
    assert [(arm.model, arm.refused) for arm in found.arms] == [
        (None, None), ("m", "it is gone"), ("m", "it is gone"), ("n", None),
    ]  # fmt: skip


def test_of_what_is_no_longer_kept_the_arms_are_named() -> None:
    ended = replace(experiment(control=0.5, new=0.5), ended_ms=2_000, reason="seen enough")
    found = answer_of(ended, None)
    assert [(arm.name, arm.strategy, arm.share, arm.learners, arm.hit_rate) for arm in found.arms] == [
        ("control", "hybrid", 0.5, None, None),
        ("new", "popular", 0.5, None, None),
    ]
    assert found.comparisons == ()
    assert (found.state, found.ended_at, found.reason) == ("ended", "1970-01-01T00:00:02.000000Z", "seen enough")
