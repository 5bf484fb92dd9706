"""The protocol of the NCF paper: leave-one-out, each learner's last course among 99 others, and among all.

Epochs and blends are chosen on the last training course of each learner, among courses drawn afresh; then the models
are fitted again with it. No test chooses anything.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from datasets.ncf import HeldOut, Split
from recommender.content import matrix_of, nearest
from recommender.model import Floats
from schemas.errors import NotReadyError
from trainer.cases import Block, Case
from trainer.contender import Contender
from trainer.contenders import CONTENDERS
from trainer.intervals import numbered
from trainer.known import EASE_ALONE, Known
from trainer.metrics import CUTS, TOP, Ranks, ranks_among, self_information
from trainer.ncf_split import DAY_US, LAST_DAY, interactions_of, learner_of, popularity_after, without_last
from trainer.population import Population
from trainer.result import Progress, no_progress
from trainer.scoreboard import with_intervals
from trainer.settings import TrainerSettings
from trainer.shown import Shown
from trainer.split import evenly
from trainer.text import text_model
from trainer.verdict import Metrics

BATCH: Final = 64
RIDGES: Final = (200.0, 500.0, 1_000.0)
"""Of these plain EASE gets the one that is best on validation: what suits a split depends on its size."""
RIDGE_TESTS: Final = 1_000
WHOLE: Final = {"ease_neighbours": 0}
"""No weight is left out: courses drawn at random are told apart by the small ones, which no served list needs."""

_BOUND: Final = re.compile(r"(_low|_high)?$")
_COMPARED: Final = re.compile(rf"(hr|ndcg)@{TOP}(_|$)")


@dataclass
class _Found:
    """What a model came to, test by test: ranks among the negatives and among all."""

    sampled: list[Ranks]
    full: list[Ranks]
    shown: list[Shown]


class SplitEvaluation:
    """One evaluation of a split; `limit` tests, evenly spaced (0: all); `ridge` of plain EASE, chosen if None."""

    def __init__(
        self, split: Split, models: Sequence[str], settings: TrainerSettings, seed: int, progress: Progress,
        limit: int = 0, ridge: float | None = None,
    ) -> None:  # fmt: skip
        if len(split.histories) < 2:
            raise NotReadyError(f"{len(split.histories)} learners are too few to evaluate on: 2 are wanted")
        self._split, self._models, self._seed, self._progress = split, models, seed, progress
        self._settings, self._ridge = settings.model_copy(update=WHOLE), ridge
        places = evenly(np.arange(len(split.tests)), limit or len(split.tests))
        self._tests = [split.tests[place] for place in places.tolist()]
        self._interactions = interactions_of(split, settings.train_max_targets_a_learner)
        self._index_of = {course_id: index for index, course_id in enumerate(self._interactions.course_ids)}
        self._catalogue = {course.course_id: course for course in split.courses}
        self._text = text_model(self._interactions.course_ids, self._catalogue)
        self._vectors = matrix_of(self._text.rows)
        self._counts = np.bincount(self._interactions.taken_course, minlength=len(self._catalogue))

    def run(self) -> dict[str, Metrics]:
        """Return every model's metrics."""
        self._progress("fitting", 0.0)
        known, found = self._known(), {}
        for number, name in enumerate(self._models):
            self._progress(f"fitting and testing {name}", number / len(self._models))
            model = CONTENDERS[name]()
            model.fit(known)
            found[name] = self._metrics(self._test(model))
        self._progress("tested", 1.0)
        return found

    def _known(self) -> Known:
        alone = EASE_ALONE
        if "ease" in self._models:
            alone = {**EASE_ALONE, "ease_lambda": self._ridge or self._best_ridge()}
        last_us = LAST_DAY * DAY_US
        return Known(
            self._interactions, self._text, nearest(self._text.rows), self._catalogue, self._settings, self._seed,
            until_us=last_us + DAY_US,
            validation_us=last_us,
            validation=list(self._validation()),
            population=Population(_popularity=popularity_after(self._split.histories.values())),
            ease_alone=alone,
        )  # fmt: skip

    def _best_ridge(self) -> float:
        """Return the ridge under which plain EASE does best on the last training courses."""
        held = without_last(self._split, self._seed)
        if len(held.tests) < 2:
            return EASE_ALONE["ease_lambda"]
        found = {}
        for ridge in RIDGES:
            self._progress(f"choosing a ridge: {ridge:g}", 0.0)
            one = SplitEvaluation(held, ["ease"], self._settings, self._seed, no_progress, RIDGE_TESTS, ridge)
            found[ridge] = one.run()["ease"][f"ndcg@{TOP}"]
        return max(found, key=lambda ridge: found[ridge])

    def _validation(self) -> Iterator[Block]:
        """Yield the last training courses of evenly spaced learners, and the popularity of the day before."""
        histories = self._split.histories
        popularity = popularity_after(history[:-1] for history in histories.values())
        users = list(histories)
        chosen = [users[row] for row in evenly(np.arange(len(users)), self._settings.evaluate_tests).tolist()]
        for start in range(0, len(chosen), BATCH):
            part = [(user_id, histories[user_id]) for user_id in chosen[start : start + BATCH]]
            cases = [
                Case(learner_of(user_id, own[:-1], LAST_DAY - 1), own[-1], LAST_DAY * DAY_US, user_id)
                for user_id, own in part
            ]
            yield Block(cases, popularity)

    def _test(self, model: Contender) -> _Found:
        found = _Found([], [], [Shown(top) for top in CUTS])
        information = self_information(self._counts, len(self._split.histories))
        for start in range(0, len(self._tests), BATCH):
            part = self._tests[start : start + BATCH]
            learners = [learner_of(test.user_id, self._split.histories[test.user_id]) for test in part]
            scores = model.scores(learners)  # (B, n)
            own = scores[np.arange(len(part)), [self._index_of[test.course_id] for test in part]]
            found.sampled.append(ranks_among(self._negatives(scores, part), own))
            found.full.append(ranks_among(scores, own) - 1)  # it is among all itself
            best = np.argsort(-scores, axis=1, kind="stable")[:, : max(CUTS)]
            listed = [one[np.isfinite(scores[row, one])].tolist() for row, one in enumerate(best)]
            for shown in found.shown:
                shown.take(listed, information, self._vectors)
        return found

    def _negatives(self, scores: Floats, tests: Sequence[HeldOut]) -> Floats:
        """Return the scores of the courses that each test's course is ranked among, (B, most); -inf where none is."""
        chosen = np.full((len(tests), max(len(test.negatives) for test in tests)), -np.inf, dtype=np.float32)
        for row, test in enumerate(tests):
            chosen[row, : len(test.negatives)] = scores[row, [self._index_of[one] for one in test.negatives]]
        return chosen

    def _metrics(self, found: _Found) -> Metrics:
        sampled, full = np.concatenate(found.sampled), np.concatenate(found.full)
        metrics = self._over(sampled, full, np.ones(len(full), dtype=np.bool_))
        for shown in found.shown:
            metrics |= shown.metrics(len(self._catalogue))
        metrics["tests"] = float(len(full))
        for suffix, wanted in (("_ties", True), ("_clean", False)):
            mask = np.array([test.is_tied is wanted for test in self._tests])
            if mask.any():
                apart = self._over(sampled, full, mask)
                metrics |= suffixed({name: apart[name] for name in apart if _COMPARED.match(name)}, suffix)
                metrics[f"tests{suffix}"] = float(mask.sum())
        return metrics

    def _over(self, sampled: Ranks, full: Ranks, mask: NDArray[np.bool_]) -> Metrics:
        owners = numbered([test.user_id for test, wanted in zip(self._tests, mask, strict=True) if wanted])
        among_all = with_intervals(full[mask], owners, self._seed)
        return {**with_intervals(sampled[mask], owners, self._seed), **suffixed(among_all, "_full")}


def suffixed(metrics: Metrics, suffix: str) -> Metrics:
    """Return metrics under longer names.

    >>> suffixed({"hr@10": 0.5, "hr@10_low": 0.4}, "_full")
    {'hr@10_full': 0.5, 'hr@10_full_low': 0.4}
    """
    return {_BOUND.sub(rf"{suffix}\1", name, count=1): value for name, value in metrics.items()}
