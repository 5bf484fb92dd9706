from math import log

import pytest
import torch

from trainer.losses import binary_cross_entropy, sampled_softmax


def test_cross_entropy_of_undecided_logits_is_the_logarithm_of_two() -> None:
    assert binary_cross_entropy(torch.zeros(3, 5)).item() == pytest.approx(log(2))


def test_cross_entropy_takes_the_first_column_for_the_course_taken() -> None:
    right, wrong = torch.tensor([[9.0, -9.0]]), torch.tensor([[-9.0, 9.0]])
    assert binary_cross_entropy(right).item() == pytest.approx(log(1 + 2.718281828**-9))
    assert binary_cross_entropy(wrong).item() == pytest.approx(9.0, abs=1e-3)


def test_softmax_counts_rivals_but_not_forbidden_ones() -> None:
    positive, negatives = torch.zeros(2), torch.zeros(2, 3)
    forbidden = torch.tensor([[False, False, False], [True, True, False]])
    expected = (log(4) + log(2)) / 2
    assert sampled_softmax(positive, negatives, forbidden).item() == pytest.approx(expected)


def test_softmax_without_a_rival_left_is_nothing() -> None:
    loss = sampled_softmax(torch.tensor([3.0]), torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.bool))
    assert loss.item() == 0.0
