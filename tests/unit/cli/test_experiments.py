"""What an experiment may be: said before it stands in the log."""

import pytest
import typer

from cli.app import run
from cli.experiments import parse_arm, started
from schemas.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not .NAME:.STRATEGY"),
        ("a:b:c", "is not .NAME:.STRATEGY"),
        ("popular=half", "'half' is no share"),
        ("popular=0", "'0' is no share"),
        ("popular=1.5", "'1.5' is no share"),
        ("popular=-0.5", "'-0.5' is no share"),
        ("popular=nan", "'nan' is no share"),
    ],
)
def test_what_is_no_arm_is_refused(text: str, why: str) -> None:
    with pytest.raises(typer.BadParameter, match=why):
        parse_arm(text)


def test_what_is_no_strategy_is_a_model() -> None:
    record = started("x", "s", [parse_arm(text) for text in ("live", "m-1", "old:m-0", "popular")])
    assert [(arm.name, arm.strategy, arm.model) for arm in record.arms] == [
        ("live", "hybrid", ""), ("m-1", "hybrid", "m-1"), ("old", "hybrid", "m-0"), ("popular", "popular", ""),
    ]  # fmt: skip


def test_without_shares_arms_are_equal() -> None:
    record = started("x", "s", [parse_arm(text) for text in ("hybrid", "popular", "new:hybrid")])
    assert [(arm.name, arm.strategy, arm.share) for arm in record.arms] == [
        ("hybrid", "hybrid", 1 / 3), ("popular", "popular", 1 / 3), ("new", "hybrid", 1 / 3),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "salt", "arms", "why"),
    [
        ("x", "s", ["hybrid=0.5", "popular=0.4"], "add up to 0.9, not to 1"),
        ("x", "s", ["hybrid=0.5", "popular"], "either all arms have a share, or none"),
        ("x", "s", ["hybrid", "hybrid"], "do not all have names of their own"),
        ("x", "s", ["hybrid"], "an experiment has 2 to 10 arms, not 1: repeat --arm"),
        ("x", "s", [f"a{number}:hybrid" for number in range(11)], "2 to 10 arms, not 11"),
        ("x y", "s", ["hybrid", "popular"], "^names of experiments and of arms are 1 to 40 letters"),
        ("x", "salt and pepper", ["hybrid", "popular"], "a salt is 1 to 64 printable"),
        ("x", "s", ["a b:hybrid", "popular"], "^names of experiments and of arms are 1 to 40 letters"),
    ],
)
def test_what_is_no_experiment_is_refused(name: str, salt: str, arms: list[str], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        started(name, salt, [parse_arm(text) for text in arms])


def test_wrong_usage_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["experiments", "start", "x", "--arm", "hybrid", "--arm", "popular:"]) == 2
    assert "STRATEGY|VERSION|live" in capsys.readouterr().err
    assert run(["experiments", "start", "x"]) == 2
