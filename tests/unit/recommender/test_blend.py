"""Weights by length of history."""

import numpy as np
import pytest

from recommender.blend import DEFAULT_BLEND, Blend
from recommender.model import Floats
from schemas.errors import BundleError


def test_a_bucket_begins_at_its_length() -> None:
    blend = Blend((0, 2, 5), np.arange(15, dtype=np.float32).reshape(3, 5))
    assert blend.rows(np.array([0, 1, 2, 4, 5, 900]))[:, 0].tolist() == [0, 0, 5, 5, 10, 10]


@pytest.mark.parametrize("lengths", [(), (1, 2), (0, 5, 2), (0, 2, 2)])
def test_lengths_rise_from_zero(lengths: tuple[int, ...]) -> None:
    with pytest.raises(BundleError, match="do not rise from 0"):
        Blend(lengths, np.zeros((len(lengths), 5), dtype=np.float32))


def test_weights_are_finite_and_a_row_a_length() -> None:
    with pytest.raises(BundleError, match="not a row a length"):
        Blend((0,), np.zeros((2, 5), dtype=np.float32))
    with pytest.raises(BundleError, match="NaN"):
        Blend((0,), np.full((1, 5), np.nan, dtype=np.float32))
    assert (DEFAULT_BLEND.weights >= 0).all()


@pytest.mark.parametrize("scales", [np.ones(4), np.array([1, 1, 0, 1, 1]), np.array([1, np.nan, 1, 1, 1])])
def test_scales_are_a_positive_number_a_component(scales: Floats) -> None:
    with pytest.raises(BundleError, match="scales"):
        Blend((0,), np.ones((1, 5), dtype=np.float32), scales.astype(np.float32))
