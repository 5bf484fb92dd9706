import numpy as np
import pytest

from tests.unit.trainer.campus import checkerboard, courses, log_of
from trainer.fit import fit_neumf
from trainer.interactions import interactions_of
from trainer.settings import TrainerSettings
from trainer.split import split_by_time
from trainer.stopping import RIVALS, Validation

LOG = log_of(checkerboard(learners=80), courses())
INTERACTIONS = interactions_of(LOG.events, LOG.courses)
SPLIT = split_by_time(INTERACTIONS)
SETTINGS = TrainerSettings(train_dimensions=16, train_epochs=12, train_patience=2, train_learning_rate=0.004)


def _validation(settings: TrainerSettings = SETTINGS) -> Validation:
    found = Validation.of(INTERACTIONS, SPLIT, settings, 1)
    assert found is not None
    return found


def test_it_is_made_of_what_comes_between_training_and_test() -> None:
    validation = _validation()
    moments = INTERACTIONS.occurred_us[validation.rows]
    assert SPLIT.validation_us <= moments.min() and moments.max() < SPLIT.test_us
    taken = INTERACTIONS.taken_before(SPLIT.test_us).toarray()[INTERACTIONS.learner[validation.rows]]
    assert validation.pairs.shape == (len(validation.rows), 1 + RIVALS)
    assert not np.take_along_axis(taken, validation.pairs[:, 1:], axis=1).any()
    assert (validation.pairs[:, 0] == INTERACTIONS.course[validation.rows]).all()


def test_it_ends_a_training_and_keeps_the_best_epoch() -> None:
    validation = _validation()
    stopped = fit_neumf(INTERACTIONS, SETTINGS, 1, lambda _: None, SPLIT.validation_us, validation=validation)
    scores = validation.scores
    assert len(scores) == min(validation.epochs + SETTINGS.train_patience, SETTINGS.train_epochs) < 12
    assert max(scores) == scores[validation.epochs - 1] > scores[0]
    again = fit_neumf(INTERACTIONS, SETTINGS, 1, lambda _: None, SPLIT.validation_us, epochs=validation.epochs)
    np.testing.assert_array_equal(again.history, stopped.history)
    np.testing.assert_array_equal(again.mlp_out, stopped.mlp_out)


@pytest.mark.parametrize("settings", [SETTINGS.model_copy(update={"train_patience": 0})])
def test_it_may_be_off(settings: TrainerSettings) -> None:
    assert Validation.of(INTERACTIONS, SPLIT, settings, 1) is None


def test_focal_loss_learns_too() -> None:
    settings = SETTINGS.model_copy(update={"train_loss": "focal", "train_epochs": 6})
    validation, other = _validation(settings), _validation(settings)
    focused = fit_neumf(INTERACTIONS, settings, 1, lambda _: None, SPLIT.validation_us, validation=validation)
    plain = settings.model_copy(update={"train_loss": "bce"})
    usual = fit_neumf(INTERACTIONS, plain, 1, lambda _: None, SPLIT.validation_us, validation=other)
    assert max(validation.scores) > 1.5 * validation.scores[0] and not np.array_equal(focused.history, usual.history)
