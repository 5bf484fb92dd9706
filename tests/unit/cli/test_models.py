"""Which model was live before."""

import pytest

from cli.models import Models, next_lives
from schemas.control import ControlState
from schemas.errors import ConfigurationError


def line(*decisions: str) -> tuple[str, ...]:
    """Return the line of live versions after promotions (`v`) and rollbacks (`<v`)."""
    lives: tuple[str, ...] = ()
    for decision in decisions:
        lives = next_lives(lives, decision.removeprefix("<"), decision.startswith("<"))
    return lives


@pytest.mark.parametrize(
    ("decisions", "before"),
    [
        (("a", "b"), "a"),
        (("a", "b", "b"), "a"),
        (("a", "b", "c", "<b"), "a"),
        (("a", "b", "<a", "c"), "a"),
        (("a", "b", "a"), "b"),
        (("a", "b", "a", "<b"), "a"),
    ],
)
def test_rolling_back_goes_one_step_back_in_the_line(decisions: tuple[str, ...], before: str) -> None:
    assert Models(ControlState(), line(*decisions)).before() == before


@pytest.mark.parametrize("decisions", [(), ("a",), ("a", "b", "<a")])
def test_there_may_be_nothing_to_roll_back_to(decisions: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="nothing to roll back to"):
        Models(ControlState(), line(*decisions)).before()


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="there is no model 'v9'"):
        Models(ControlState(), ()).check_known("v9")
