"""From a log to a model that was measured: split, fit, blend, test, and fit again on everything."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from recommender.blend import DEFAULT_BLEND, Blend
from recommender.model import Model, Text
from recommender.popularity import Popularity
from recommender.recommend import Recommender, prepare
from schemas.errors import NotReadyError
from trainer.blend import choices_of, fit_blend
from trainer.cases import Block, blocks_of, cases_of
from trainer.evaluate import Evaluation, evaluate, metrics_of
from trainer.fit import trainable
from trainer.interactions import Interactions, interactions_of
from trainer.log import Log
from trainer.model import fit_model
from trainer.result import Progress, no_progress
from trainer.settings import TrainerSettings
from trainer.split import evenly, split_by_time
from trainer.text import text_model

_FIRST_FIT: Final = 0.4
_BLENDED: Final = 0.5
_TESTED: Final = 0.6
_NOBODY: Final = np.empty(0, dtype=np.int64)


class Trained(NamedTuple):
    """A model of the whole log, and what its recipe came to on the tail that it did not see."""

    model: Model
    evaluation: Evaluation


def train_model(
    log: Log, settings: TrainerSettings, seed: int, force: bool, progress: Progress = no_progress
) -> Trained:
    """Return a model of a log and its evaluation.

    The recipe is fitted on the first 80 % of the enrolments, its blend on the next 10 %, and tested on the last 10 %;
    what is published is the same recipe fitted on all of them. Raises NotReadyError if there is too little to learn.
    """
    interactions = interactions_of(log.events, log.courses)
    _check_enough(interactions, settings, force)
    text = text_model(interactions.course_ids, log.courses)
    tested = _test_recipe(log, interactions, text, settings, seed, progress)
    model = fit_model(
        interactions, text, settings, seed, lambda done: progress("fitting", _TESTED + done * (1 - _TESTED)),
        blend=tested.blend,
    )  # fmt: skip
    return Trained(model, tested.evaluation)


def _check_enough(interactions: Interactions, settings: TrainerSettings, force: bool) -> None:
    found, wanted = len(interactions), 1 if force else settings.min_enrolments
    if found < wanted:
        raise NotReadyError(f"{found} enrolments are too few to train on: {wanted} are wanted (MIN_ENROLMENTS)")
    if not len(trainable(interactions, None)):
        raise NotReadyError("every learner has taken every course: there is nothing to prefer one course to")


class _Tested(NamedTuple):
    blend: Blend
    evaluation: Evaluation


def _test_recipe(
    log: Log, interactions: Interactions, text: Text, settings: TrainerSettings, seed: int, progress: Progress
) -> _Tested:
    """Return the blend that suits a model of the first part, and what both come to on the last."""
    split = split_by_time(interactions)
    if not len(trainable(interactions, split.validation_us)):
        return _Tested(DEFAULT_BLEND, Evaluation(metrics_of(_NOBODY, set(), 0), metrics_of(_NOBODY, set(), 0)))
    early = fit_model(
        interactions, text, settings, seed, lambda done: progress("fitting", done * _FIRST_FIT), split.validation_us
    )
    recommender = Recommender(prepare(early), log.courses, Popularity())
    progress("blending", _FIRST_FIT)
    validation = _blocks(log, interactions, settings, split.validation_us, split.test_us)
    blend = fit_blend(choices_of(recommender, validation))
    progress("testing", _BLENDED)
    prepared = replace(recommender.universe.prepared, model=replace(early, blend=blend))
    test = _blocks(log, interactions, settings, split.test_us, None)
    return _Tested(blend, evaluate(Recommender(prepared, log.courses, Popularity()), test))


def _blocks(
    log: Log, interactions: Interactions, settings: TrainerSettings, since_us: int, until_us: int | None
) -> Iterator[Block]:
    """Yield the enrolments of a stretch of time, evenly thinned out, as cases."""
    rows = interactions.before(until_us)
    rows = rows[interactions.occurred_us[rows] >= since_us]
    by_time = rows[np.argsort(interactions.occurred_us[rows], kind="stable")]
    return blocks_of(cases_of(log, interactions, evenly(by_time, settings.evaluate_tests)), interactions)
