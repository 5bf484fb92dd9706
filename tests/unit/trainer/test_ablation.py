"""Ablations: what a variant changes, and what it comes to beside the whole model on the same tests."""

import numpy as np
import pytest

from schemas.errors import ConfigurationError
from tests.unit.trainer.campus import checkerboard, courses
from trainer.ablation import SETTINGS, VARIANTS, change, variants
from trainer.fit import fit_neumf
from trainer.protocols import Evaluated, Evaluation, Plan, Protocol
from trainer.scoreboard import Scoreboard
from trainer.settings import TrainerSettings, config_keys

TINY = TrainerSettings(train_dimensions=8, train_epochs=2)


def _board(ranks: list[int]) -> Scoreboard:
    return Scoreboard(ranks=ranks, user_ids=[f"u{place // 2}" for place in range(len(ranks))])


def _evaluated(names: tuple[str, ...], models: tuple[str, ...] = ("neumf", "hybrid")) -> Evaluated:
    events = sorted(checkerboard(learners=40), key=lambda event: event.occurred_us)
    plan = Plan(Protocol(0.5, 0), models, limit=40)
    return Evaluation(courses(), events, plan, TINY, lambda *_: None, variants(names, models)).run()


def test_settings_of_variants_are_settings_of_the_training() -> None:
    """`model_copy` would take any name and any value."""
    for changes in SETTINGS.values():
        assert set(changes) <= config_keys()
        changed = TrainerSettings(**changes)
        assert changed == TrainerSettings().model_copy(update=dict(changes))
        assert changed != TrainerSettings()
    assert set(SETTINGS) <= set(VARIANTS)


def test_a_change_is_paired_by_test() -> None:
    whole, other = _board([1, 1, 0, 1, 0, 5]), _board([1, 0, 0, 1, 0, 5])
    nothing = change(whole, whole)
    assert set(nothing.values()) == {0.0}
    found = change(other, whole)
    assert found["recall@10_change"] == pytest.approx(-1 / 6, abs=1e-6)
    assert found["recall@10_change_low"] == -0.5  # the first learner lost half, the others nothing
    assert found["recall@10_change_high"] == 0.0


def test_parts_that_a_model_has_not_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="there is no ablation 'tower'; known are softmax"):
        variants(["tower"], ["hybrid"])
    with pytest.raises(ConfigurationError, match="none of the models neumf has content"):
        variants(["content"], ["neumf"])
    assert list(variants(["dropout", "content"], ["neumf", "hybrid"])) == [
        "neumf, no dropout", "hybrid, no dropout", "hybrid, no text",
    ]  # fmt: skip


def test_every_variant_stands_beside_the_whole_models(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = []

    def counted(*given: object, **named: object) -> object:
        trained.append(given)
        return fit_neumf(*given, **named)  # type: ignore[arg-type]  # whatever it takes

    monkeypatch.setattr("trainer.known.fit_neumf", counted)
    found = _evaluated(tuple(VARIANTS))
    whole = {name: found.scoreboards[name].metrics(found.num_courses) for name in ("neumf", "hybrid")}
    for name, row in whole.items():
        assert found.ablations[name]["recall@10"] == row["recall@10"]
    assert len(found.ablations) == 2 + len(VARIANTS) + 4  # the network alone has four of them
    for name, row in found.ablations.items():
        if name not in whole:
            difference = row["recall@10"] - whole[name.partition(",")[0]]["recall@10"]
            assert row["recall@10_change"] == pytest.approx(difference, abs=2e-6)
    assert found.ablations["hybrid, no network"] != found.ablations["hybrid, no item-item"]
    assert len(trained) == 2 * (1 + 4)  # before the validation and finally: the whole, and what changes the network


def test_without_variants_there_is_nothing_to_compare() -> None:
    assert _evaluated((), ("popular",)).ablations == {}


def test_what_is_left_out_is_not_used() -> None:
    found = _evaluated(("network",), ("neumf", "hybrid"))
    ranks = np.array(found.scoreboards["hybrid"].ranks)
    assert found.ablations["hybrid, no network"]["recall@10"] != np.mean((ranks > 0) & (ranks <= 10))
