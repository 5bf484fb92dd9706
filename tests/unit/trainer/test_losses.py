from math import log

import pytest
import torch

from trainer.losses import binary_cross_entropy, focal, softmax_among


def test_cross_entropy_of_undecided_logits_is_the_logarithm_of_two() -> None:
    assert binary_cross_entropy(torch.zeros(3, 5)).item() == pytest.approx(log(2))


def test_cross_entropy_takes_the_first_column_for_the_course_taken() -> None:
    right, wrong = torch.tensor([[9.0, -9.0]]), torch.tensor([[-9.0, 9.0]])
    assert binary_cross_entropy(right).item() == pytest.approx(log(1 + 2.718281828**-9))
    assert binary_cross_entropy(wrong).item() == pytest.approx(9.0, abs=1e-3)


def test_softmax_counts_rivals_but_not_forbidden_ones() -> None:
    forbidden = torch.tensor([4, 6])
    expected = (log(4) + log(2)) / 2
    assert softmax_among(torch.zeros(2, 4), forbidden, torch.tensor([0, 1])).item() == pytest.approx(expected)


def test_softmax_without_a_rival_left_is_nothing() -> None:
    logits, forbidden = torch.tensor([[3.0, 0.0, 0.0]]), torch.tensor([1, 2])
    assert softmax_among(logits, forbidden, torch.tensor([0])).item() == 0.0


def test_softmax_has_the_slopes_of_cross_entropy_and_none_at_what_is_forbidden() -> None:
    logits = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
    forbidden, taken = torch.tensor([1, 5, 14]), torch.tensor([0, 3, 3])
    ours, plain = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    torch.autograd.backward(3 * softmax_among(ours * 1.0, forbidden, taken))
    barred = plain.flatten().index_fill(0, forbidden, float("-inf")).view(3, 5)
    torch.autograd.backward(3 * torch.nn.functional.cross_entropy(barred, taken))
    assert ours.grad is not None and plain.grad is not None
    torch.testing.assert_close(ours.grad, plain.grad)
    assert not ours.grad.flatten()[forbidden].any()


def test_focal_loss_is_cross_entropy_that_leaves_out_what_is_easy() -> None:
    logits = torch.tensor([[2.0, -1.0, 0.5], [-3.0, 4.0, -9.0]])
    torch.testing.assert_close(focal(logits, 0.0), binary_cross_entropy(logits))
    right = torch.sigmoid(logits * torch.tensor([1.0, -1.0, -1.0]))
    torch.testing.assert_close(focal(logits, 2.0), (-((1 - right) ** 2) * right.log()).mean())


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_has_finite_slopes_everywhere(gamma: float) -> None:
    logits = torch.tensor([[200.0, -200.0, 0.0], [-200.0, 200.0, 1e-9]], requires_grad=True)
    torch.autograd.backward(focal(logits, gamma))
    assert logits.grad is not None and bool(torch.isfinite(logits.grad).all())
