"""The grades part of a model: fitted if the log holds enough grades, kept if it is no worse than damped means."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np

from recommender.grades import Grader, GradesNet
from recommender.model import Text
from schemas.events import AnyEvent
from trainer.device import device_of
from trainer.grades import Rows, grades_of
from trainer.grades_baselines import Bias, best_option, predict
from trainer.grades_fit import GradesFitter, features_of
from trainer.metrics import rmse
from trainer.settings import TrainerSettings
from trainer.verdict import Metrics

_LEARNT: Final = 0.8
_VALIDATED: Final = 0.9


class GradesPart(NamedTuple):
    """A grades model and how its recipe did on the newest tenth; without one `reason` says why."""

    net: GradesNet | None
    metrics: Metrics
    reason: str


def fit_grades(
    events: Iterable[AnyEvent],
    course_ids: Sequence[str],
    text: Text,
    settings: TrainerSettings,
    seed: int,
    alive: Callable[[], None] = lambda: None,
) -> GradesPart:
    """Return the grades model of a log over these courses, whose text this is.

    The number of epochs, and the setting of the damped means, are chosen on the newest but one tenth of the grades.
    """
    grades, wanted = grades_of(events, course_ids), settings.train_min_grades
    if len(grades) < wanted:
        return GradesPart(None, {}, f"{len(grades)} grades are too few: {wanted} are wanted (TRAIN_MIN_GRADES)")
    moments = np.sort(grades.occurred_us)
    middle, last = moments[[int(len(moments) * share) for share in (_LEARNT, _VALIDATED)]]
    learnt, validation, tests = _parts(grades.occurred_us, int(middle), int(last))
    if not (len(learnt) and len(validation)):
        return GradesPart(None, {}, "the grades are of too few moments to learn from earlier ones")
    device = device_of(settings.train_device)
    fitter = GradesFitter(grades, features_of(text), seed, settings.train_threads, alive, device)
    epochs, before = fitter.choose(learnt, validation), np.concatenate([learnt, validation])
    before.sort()
    bias = Bias(grades, before, best_option(Bias, grades, learnt, validation))
    own = rmse(predict(Grader(fitter.fit(before, epochs)), grades, tests), grades.value[tests])
    other = rmse(predict(bias, grades, tests), grades.value[tests])
    metrics = {"grades_rmse": round(own, 6), "grades_rmse_bias": round(other, 6), "grades_tests": float(len(tests))}
    said = f"RMSE of grades {own:.4f} against {other:.4f} of damped means ({len(tests)} tests)"
    if own > other:
        return GradesPart(None, metrics, f"{said}: worse")
    return GradesPart(fitter.fit(np.arange(len(grades)), epochs), metrics, said)


def _parts(moments: Rows, middle: int, last: int) -> tuple[Rows, Rows, Rows]:
    """Return the rows before `middle`, from there to `last`, and from there on."""
    is_old, is_new = moments < middle, moments >= last
    return np.flatnonzero(is_old), np.flatnonzero(~is_old & ~is_new), np.flatnonzero(is_new)
