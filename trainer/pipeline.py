"""From a log to a model that was measured: split, fit, blend, test, and fit again on everything."""

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np

from recommender.blend import DEFAULT_BLEND, Blend
from recommender.model import Model, Text
from recommender.popularity import Popularity
from recommender.recommend import Recommender, prepare
from schemas.errors import NotReadyError
from trainer.blend import choices_of, fit_blend
from trainer.bounds import cap_targets, known_courses, newest_of_each
from trainer.cases import Block, blocks_of, cases_of
from trainer.champion import Champion
from trainer.evaluate import Evaluation, Ranking, evaluate, metrics_of, served
from trainer.fit import trainable
from trainer.gate import FEWEST_NEW_TESTS, Duel
from trainer.grades_part import GradesPart, fit_grades
from trainer.interactions import Interactions, interactions_of
from trainer.log import Log
from trainer.model import fit_model
from trainer.result import Progress, no_progress
from trainer.settings import TrainerSettings
from trainer.split import Split, evenly, split_by_time
from trainer.stopping import Validation
from trainer.text import text_model

_FIRST_FIT: Final = 0.3
_BLENDED: Final = 0.35
_TESTED: Final = 0.4
_FOUGHT: Final = 0.7
_GRADED: Final = 0.9
_NOBODY: Final = np.empty(0, dtype=np.int64)
_UNTESTED: Final = Ranking(_NOBODY, _NOBODY, metrics_of(_NOBODY, set(), 0))


class Found(NamedTuple):
    """What the first part of the log was used to find, and what that came to on the last part."""

    blend: Blend
    epochs: int
    """Passes that were best on the validation part."""
    passes: int
    """Passes it took to see that."""
    tail: Evaluation


class Trained(NamedTuple):
    """A model of the whole log, and how its recipe did on what it had not seen. `absent`: why there is no duel."""

    model: Model
    found: Found
    duel: Duel | None
    absent: str
    grades: GradesPart


def train_model(
    log: Log,
    settings: TrainerSettings,
    seed: int,
    force: bool,
    progress: Progress = no_progress,
    champion: Champion | None = None,
) -> Trained:
    """Return a model of a log and how it did.

    The recipe is fitted on the first 80 % of the enrolments; the blend and the number of epochs on the next 10 %; it is
    tested on the last 10 %. Against a champion it is fitted up to where that had seen the log, and tested on the rest.
    What is published is the same recipe fitted on all. Raises NotReadyError if there is too little to learn.
    """
    log = replace(log, events=known_courses(log.events, log.courses))
    interactions = cap_targets(interactions_of(log.events, log.courses), settings.train_max_targets_a_learner)
    _check_enough(interactions, settings, force)
    text = text_model(interactions.course_ids, log.courses)
    recipe = _Recipe(log, interactions, text, settings, seed, progress)
    split = split_by_time(interactions)
    found = recipe.find(split)
    duel, absent = recipe.fight(champion, found, split) if champion else (None, "")
    model = recipe.fit(None, (_FOUGHT if duel else _TESTED, _GRADED), found)
    grades = fit_grades(
        log.events, interactions.course_ids, text, settings, seed, lambda: progress("fitting grades", _GRADED)
    )
    return Trained(replace(model, grades=grades.net), found, duel, absent, grades)


def _check_enough(interactions: Interactions, settings: TrainerSettings, force: bool) -> None:
    found, wanted = len(interactions), 1 if force else settings.min_enrolments
    if found < wanted:
        raise NotReadyError(f"{found} enrolments are too few to train on: {wanted} are wanted (MIN_ENROLMENTS)")
    if not len(trainable(interactions, None)):
        raise NotReadyError("every learner has taken every course: there is nothing to prefer one course to")


@dataclass(frozen=True)
class _Recipe:
    """How models are fitted and tested on one log."""

    log: Log
    interactions: Interactions
    text: Text
    settings: TrainerSettings
    seed: int
    progress: Progress

    def find(self, split: Split) -> Found:
        """Return the blend and the number of epochs that suit the log, and what they come to on its tail."""
        if not len(trainable(self.interactions, split.validation_us)):
            epochs = self.settings.train_epochs
            return Found(DEFAULT_BLEND, epochs, epochs, Evaluation(_UNTESTED, _UNTESTED))
        validation = Validation.of(self.interactions, split, self.settings, self.seed)
        early = self.fit(split.validation_us, (0.0, _FIRST_FIT), validation=validation)
        recommender = self.recommender(early)
        self.progress("blending", _FIRST_FIT)
        blend = fit_blend(choices_of(recommender, self.blocks(split.validation_us, split.test_us)))
        self.progress("testing", _BLENDED)
        prepared = replace(recommender.universe.prepared, model=replace(early, blend=blend))
        tail = evaluate(Recommender(prepared, self.log.courses, Popularity()), self.blocks(split.test_us, None))
        epochs = self.settings.train_epochs
        best, passes = (validation.epochs, len(validation.scores)) if validation else (epochs, epochs)
        return Found(blend, best, passes, tail)

    def fight(self, champion: Champion, found: Found, split: Split) -> tuple[Duel | None, str]:
        """Return what recipe and champion come to on what neither has seen; None, and why, if that is too little."""
        since_us = max(split.test_us, champion.until_us + 1)
        blocks = self.blocks(since_us, None)
        tests = sum(len(block.cases) for block in blocks)
        if tests < FEWEST_NEW_TESTS or not len(trainable(self.interactions, since_us)):
            return None, f"{tests} tests since {champion.version} are too few to compare with it"
        model = self.fit(since_us, (_TESTED, _FOUGHT), found)
        own = evaluate(self.recommender(model), blocks)
        return Duel(own, served(self.recommender(champion.model), blocks)), ""

    def fit(
        self,
        until_us: int | None,
        shares: tuple[float, float],
        found: Found | None = None,
        validation: Validation | None = None,
    ) -> Model:
        """Return the model of the enrolments before a moment; `shares` is where progress begins and ends."""
        begin, end = shares
        return fit_model(
            self.interactions, self.text, self.settings, self.seed,
            lambda done: self.progress("fitting", begin + done * (end - begin)), until_us,
            found.blend if found else DEFAULT_BLEND, found.epochs if found else None, validation,
        )  # fmt: skip

    def recommender(self, model: Model) -> Recommender:
        """Return what would serve a model, without popularity."""
        return Recommender(prepare(model), self.log.courses, Popularity())

    def blocks(self, since_us: int, until_us: int | None) -> list[Block]:
        """Return the enrolments of a stretch of time, evenly thinned out, as cases."""
        rows = self.interactions.before(until_us)
        rows = rows[self.interactions.occurred_us[rows] >= since_us]
        rows = rows[newest_of_each(self.interactions.learner[rows], self.settings.evaluate_tests_a_learner)]
        by_time = rows[np.argsort(self.interactions.occurred_us[rows], kind="stable")]
        cases = cases_of(self.log, self.interactions, evenly(by_time, self.settings.evaluate_tests))
        return list(blocks_of(cases, self.interactions))
