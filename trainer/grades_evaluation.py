"""Protocol `grades`: every grade after the first half is predicted from what stood before it, model beside model.

In the order of time, with models that are fitted anew after so many grades, each time on all that was before. The
learner's sheet is live: it holds every grade of an earlier moment, whatever the models know. Settings are chosen once,
on the newest tenth of what the first fit knows. Grades are predicted if a data set has any, else ratings.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.grades import Grader
from schemas.courses import Course
from schemas.errors import NotReadyError
from schemas.events import AnyEvent, Graded, Rated
from trainer.grades import Rows, grades_of
from trainer.grades_baselines import SVD, Baseline, Bias, ItemKNN, Predictor, best_option, predict
from trainer.grades_fit import GradesFitter, features_of
from trainer.grades_metrics import Predicted, curve_of, gain_over, metrics_of
from trainer.metrics import Doubles
from trainer.protocols import without_erased
from trainer.split import evenly
from trainer.text import text_model

WARM: Final = 0.5
VALIDATED: Final = 0.9
REFIT: Final = 10_000
FEWEST: Final = 100
"""Grades that an evaluation needs at least."""

Progress = Callable[[str, float], None]


class Contender(NamedTuple):
    """A model to compare: `choose(rows, validation)` returns the setting with which `fit(rows, setting)` fits it."""

    choose: Callable[[Rows, Rows], float]
    fit: Callable[[Rows, float], Predictor]


BASELINES: Final[dict[str, type[Baseline]]] = {"bias": Bias, "itemknn": ItemKNN, "svd": SVD}
MODELS: Final = (*BASELINES, "grades")


class Plan(NamedTuple):
    """What is evaluated. `refit`: grades between two fits (0: none after the first); `limit`: tests (0: all)."""

    models: tuple[str, ...] = MODELS
    refit: int = REFIT
    limit: int = 0
    seed: int = 1


class GradesEvaluation:
    """One evaluation of a data set."""

    def __init__(self, courses: Sequence[Course], events: Sequence[AnyEvent], plan: Plan, progress: Progress) -> None:
        events = without_erased(events)
        catalogue = {course.course_id: course for course in courses}
        taken = {event.course_id for event in events if isinstance(event, Graded | Rated)}
        course_ids = sorted(catalogue.keys() | taken)
        kind = Graded if any(isinstance(event, Graded) for event in events) else Rated
        self._grades = grades = grades_of(events, course_ids, kind)
        if len(grades) < FEWEST:
            raise NotReadyError(f"{len(grades)} grades are too few to evaluate on: {FEWEST} are wanted")
        self._plan, self._progress = plan, progress
        self._fitter = GradesFitter(grades, features_of(text_model(course_ids, catalogue)), plan.seed)
        self._moments = np.sort(grades.occurred_us)

    def run(self) -> dict[str, Any]:
        """Return the answer's parts: metrics by model, curves over time and by epoch, gains over the others, fits."""
        contenders = {name: self._contender(name) for name in self._plan.models}
        stretches = list(self._stretches())
        settings = self._choose(contenders, stretches[0][0])
        tests = np.concatenate([rows for _, rows in stretches])
        known = np.zeros(len(tests), dtype=np.bool_)
        predicted = {name: np.empty(len(tests)) for name in contenders}
        done = 0
        for number, (moment, rows) in enumerate(stretches):
            before = np.flatnonzero(self._grades.occurred_us < moment)
            part = slice(done, done + len(rows))
            known[part] = np.isin(self._grades.course[rows], self._grades.course[before])
            for name, contender in contenders.items():
                self._progress(f"{name}, fit {number + 1} of {len(stretches)}", done / len(tests))
                predicted[name][part] = predict(contender.fit(before, settings[name]), self._grades, rows)
            done += len(rows)
        return self._answer(predicted, tests, known, len(stretches), settings)

    def _answer(
        self,
        predicted: dict[str, Doubles],
        tests: Rows,
        known: NDArray[np.bool_],
        fits: int,
        settings: dict[str, float],
    ) -> dict[str, Any]:
        order = np.argsort(self._grades.occurred_us[tests], kind="stable")
        tests = tests[order]
        actual, owners = self._grades.value[tests].astype(np.float64), self._grades.learner[tests]
        found = {name: Predicted(one[order], actual, owners, known[order]) for name, one in predicted.items()}
        answer: dict[str, Any] = {
            "models": {name: metrics_of(one) for name, one in found.items()},
            "refits": fits,
            "settings": settings,
            "curves": {name: curve_of(one) for name, one in found.items()},
        }
        if "grades" in found:
            gains = {name: gain_over(found["grades"], one) for name, one in found.items() if name != "grades"}
            answer |= {"gains": gains, "learning_curves": {"grades": self._fitter.curve}}
        return answer

    def _stretches(self) -> Iterator[tuple[int, Rows]]:
        """Yield the moment of each fit, and the rows of the tests until the next, a learner's after the other's."""
        total, refit = len(self._moments), self._plan.refit
        places = range(int(total * WARM), total, refit or total)
        starts = np.unique(self._moments[list(places)])
        wanted = np.zeros(len(self._grades), dtype=np.bool_)
        tests = np.flatnonzero(self._grades.occurred_us >= starts[0])
        by_time = tests[np.argsort(self._grades.occurred_us[tests], kind="stable")]
        wanted[evenly(by_time, self._plan.limit or len(tests))] = True
        for start, end in zip(starts, [*starts[1:], self._moments[-1] + 1], strict=True):
            moments = self._grades.occurred_us
            yield int(start), np.flatnonzero(wanted & (moments >= start) & (moments < end))

    def _choose(self, contenders: dict[str, Contender], until_us: int) -> dict[str, float]:
        """Return each model's setting, by the newest tenth of what was before a moment."""
        before = self._moments[self._moments < until_us]
        if not len(before):
            raise NotReadyError("all grades are of one moment: there is nothing to learn from before it")
        since_us = before[int(len(before) * VALIDATED)]
        moments = self._grades.occurred_us
        rows, validation = (
            np.flatnonzero(moments < since_us),
            np.flatnonzero((moments >= since_us) & (moments < until_us)),
        )
        if not len(rows):
            raise NotReadyError("the first grades are of one moment: there is nothing to choose settings by")
        chosen = {}
        for name, contender in contenders.items():
            self._progress(f"choosing settings of {name}", 0.0)
            chosen[name] = contender.choose(rows, validation)
        return chosen

    def _contender(self, name: str) -> Contender:
        if name == "grades":
            fitter = self._fitter
            return Contender(fitter.choose, lambda rows, epochs: Grader(fitter.fit(rows, int(epochs))))
        kind = BASELINES[name]
        return Contender(partial(best_option, kind, self._grades), partial(kind, self._grades))
