"""The split of learners: by the shares, the same for ever, another with another salt."""

from collections import Counter

from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare

from schemas.control import decode_control, encode_control
from schemas.experiments import Arm, Experiment, ExperimentStarted, arm_of

LEARNERS = [f"learner-{i}" for i in range(4_000)]
NEVER = 1e-7
"""A p-value below this is no accident, in all that hypothesis draws."""


def experiment(*shares: float, salt: str = "s", epoch: int = 7) -> Experiment:
    """Return an experiment with arms of these shares."""
    arms = tuple(Arm(name=f"a{i}", strategy="hybrid", share=share) for i, share in enumerate(shares))
    return Experiment(ExperimentStarted(name="x", salt=salt, arms=arms), epoch, started_ms=0)


salts = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=64)
weights = st.lists(st.integers(1, 9), min_size=2, max_size=6)


@given(salts, weights)
@example("s", [1, 1])
@example("s", [9, 1])
def test_learners_are_split_by_the_shares(salt: str, parts: list[int]) -> None:
    shares = [part / sum(parts) for part in parts]
    found = experiment(*shares, salt=salt)
    counts = Counter(arm_of(user_id, found).name for user_id in LEARNERS)
    expected = [share * len(LEARNERS) for share in shares]
    assert chisquare([counts[f"a{i}"] for i in range(len(shares))], expected).pvalue > NEVER


@given(st.text(min_size=1, max_size=80), salts, weights)
def test_an_arm_is_for_ever(user_id: str, salt: str, parts: list[int]) -> None:
    shares = [part / sum(parts) for part in parts]
    record = experiment(*shares, salt=salt).record
    read_again = decode_control(encode_control(record))
    assert isinstance(read_again, ExperimentStarted)
    arms = {arm_of(user_id, Experiment(one, epoch, 0)) for one in (record, read_again) for epoch in (1, 9)}
    assert len(arms) == 1


def test_a_wider_first_arm_keeps_who_was_in_it() -> None:
    narrow, wide = experiment(0.1, 0.9), experiment(0.3, 0.7)
    assert all(arm_of(one, wide).name == "a0" for one in LEARNERS if arm_of(one, narrow).name == "a0")


def test_another_salt_splits_the_learners_of_each_arm_anew() -> None:
    one, other = experiment(0.5, 0.5, salt="one"), experiment(0.5, 0.5, salt="other")
    counts = Counter((arm_of(user_id, one).name, arm_of(user_id, other).name) for user_id in LEARNERS)
    table = [[counts[row, column] for column in ("a0", "a1")] for row in ("a0", "a1")]
    assert min(map(min, table)) > 800
    assert chi2_contingency(table).pvalue > NEVER
