import numpy as np

from recommender.blend import DEFAULT_BLEND
from trainer.blend import Choices, fit_blend, fit_weights


def _choices(count: int, telling: int, length: int) -> Choices:
    """Return choices of which one component knows the answer, mostly."""
    rng = np.random.default_rng(1)
    z = rng.normal(size=(count, 20, 5))
    chosen = (z[:, :, telling] + 0.3 * rng.normal(size=(count, 20))).argmax(axis=1)
    return Choices(z, np.ones((count, 20), dtype=bool), chosen, np.full(count, length))


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
