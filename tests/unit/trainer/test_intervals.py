import numpy as np
import pytest

from trainer.intervals import RESAMPLES, intervals, resampled_means


def test_a_seed_fixes_the_resamples() -> None:
    values, owners = np.random.default_rng(0).uniform(size=(60, 2)), np.arange(60) // 3
    one, again, other = (resampled_means(values, owners, seed) for seed in (1, 1, 2))
    assert one.shape == (RESAMPLES, 2)
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert one.mean(axis=0) == pytest.approx(values.mean(axis=0), abs=0.01)


def test_learners_are_drawn_with_all_of_their_tests() -> None:
    values = np.repeat([[0.0], [1.0]], 50, axis=0)  # two learners
    assert set(np.unique(resampled_means(values, np.repeat([0, 1], 50)))) == {0.0, 0.5, 1.0}


def test_nineteen_of_twenty_intervals_hold_the_truth() -> None:
    rng, held = np.random.default_rng(7), 0
    for seed in range(200):
        bounds = intervals({"hr@10": (rng.uniform(size=300) < 0.3).astype(float)}, np.arange(300), seed)
        held += bounds["hr@10_low"] <= 0.3 <= bounds["hr@10_high"]
    assert 180 <= held <= 198


def test_one_learner_has_no_interval() -> None:
    assert intervals({"hr@10": np.ones(5)}, np.zeros(5, dtype=np.int64)) == {}
    assert intervals({"hr@10": np.ones(0)}, np.zeros(0, dtype=np.int64)) == {}
