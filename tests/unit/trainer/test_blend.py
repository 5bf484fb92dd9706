import logging

import numpy as np
import pytest

from recommender.blend import DEFAULT_BLEND, POPULAR
from schemas.candidates import COMPONENTS
from trainer.blend import PRIOR_CHOICES, Choices, fit_blend, fit_weights


def _choices(count: int, telling: int, length: int) -> Choices:
    """Return choices of which one component knows the answer, mostly."""
    rng = np.random.default_rng(1)
    z = rng.normal(size=(count, 20, 5))
    chosen = (z[:, :, telling] + 0.3 * rng.normal(size=(count, 20))).argmax(axis=1)
    return Choices(z, np.ones((count, 20), dtype=bool), chosen, np.full(count, length), np.ones((count, 5)))


def test_the_component_that_knows_has_the_weight() -> None:
    for telling in range(5):
        weights = fit_weights(_choices(300, telling, 3))
        assert weights[telling] == 1.0
        assert np.delete(weights, telling).max() < 0.2


def test_a_component_that_is_wrong_gets_no_weight() -> None:
    right = _choices(300, 1, 3)
    z = right.z.copy()
    z[:, :, 0] = -z[:, :, 1]
    assert fit_weights(right._replace(z=z))[0] == 0.0


def test_candidates_that_do_not_exist_are_not_rivals() -> None:
    whole = _choices(200, 2, 3)
    padded = Choices(
        np.concatenate([whole.z, np.full((200, 4, 5), 9.0)], axis=1),
        np.concatenate([whole.present, np.zeros((200, 4), dtype=bool)], axis=1),
        whole.chosen,
        whole.lengths,
        whole.units,
    )
    np.testing.assert_array_equal(fit_weights(padded), fit_weights(whole))


def test_the_more_choices_a_bucket_has_the_less_the_default_counts() -> None:
    usual = DEFAULT_BLEND.weights
    many, few = fit_blend(_choices(600, 3, 7)), fit_blend(_choices(4, 3, 7))
    assert many.weights[-1].argmax() == 3
    assert usual[-1, 3] < few.weights[-1, 3] < many.weights[-1, 3]
    assert np.abs(few.weights[-1] - usual[-1]).max() < 0.2
    for blend in (many, few):
        np.testing.assert_array_equal(blend.weights[:-1], usual[:-1])


def test_without_a_history_only_what_is_popular_and_the_text_speak() -> None:
    for telling in range(5):
        weights = fit_blend(_choices(600, telling, 0)).weights[0]
        assert not weights[[COMPONENTS.index("collaborative"), COMPONENTS.index("item_item")]].any()
        assert telling < 2 or weights.argmax() == telling


def _misled(count: int, length: int) -> Choices:
    """Return choices of the most popular, which item-item puts last."""
    choices = _choices(count, POPULAR, length)
    column = COMPONENTS.index("item_item")
    choices.z[:, :, column] = -choices.z[:, :, POPULAR]
    choices.z[:, :, [0, 2, 4]] = 0.0
    return choices


def test_what_ranks_worse_than_popularity_is_not_used_and_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.blend.fit_weights", lambda _choices: np.array([0.0, 1.0, 0.0, 0.5, 0.0]))
    caplog.set_level(logging.INFO)
    blend = fit_blend(_misled(100, 7))
    assert blend.weights[-1].tolist() == [0.0, 0.0, 0.0, 1.0, 0.0]
    assert blend.popular_only == (6,)
    assert "with 6 courses or more the blend ranks worse than popularity" in caplog.text
    assert fit_blend(_misled(PRIOR_CHOICES - 1, 7)).popular_only == ()  # too few to tell


def test_components_keep_their_size_where_that_tells_more() -> None:
    sure, rng = _choices(400, 1, 3), np.random.default_rng(2)
    doubt = np.arange(400) % 2 == 0
    sure.chosen[doubt] = sure.z[doubt, :, POPULAR].argmax(axis=1)  # where item-item is unsure of itself
    sure.units[:, 1] = np.where(doubt, 0.05, 5.0)
    blend = fit_blend(sure)
    assert blend.scales is not None
    alike = _choices(400, 1, 3)
    alike.units[:, 1] = rng.uniform(0.01, 5.0, 400)  # its size tells nothing
    alike.units[:, POPULAR] = rng.uniform(0.01, 5.0, 400)
    assert fit_blend(alike).scales is None
