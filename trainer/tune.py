"""Search of the settings of a training, by NDCG@10 of what would be served, on validation alone.

What is searched on ends where the tests of a protocol begin: of a stream the enrolments before the first test, of a
split its training part. Models are fitted on the first nine tenths of that (of a split: on all but each learner's last
course) and scored on the rest, so no test chooses a setting.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import optuna

from datasets.dataset import Dataset
from datasets.ncf import Split
from schemas.errors import CoursestreamError, NotReadyError
from schemas.events import AnyEvent
from trainer.ncf import SplitEvaluation
from trainer.ncf_split import without_last
from trainer.protocols import FEWEST, PROTOCOLS, Evaluation, Plan, Protocol, targets_of, without_erased
from trainer.result import no_progress
from trainer.settings import TrainerSettings

OBJECTIVE: Final = "ndcg@10"
MODEL: Final = "hybrid"

_DECAYS: Final = ([0.0, 0.8, 1.0], [0.0, 0.8, 0.98], [0.0, 0.6, 0.9], [0.5, 0.9, 1.0], [0.0, 0.5, 0.8, 0.95])

Score = Callable[[TrainerSettings], float]
Values = dict[str, Any]


class Trial(NamedTuple):
    """Settings that were tried, and what they came to; None, and why, if they could not be trained with."""

    settings: TrainerSettings
    score: float | None
    error: str = ""


def values_of(trial: optuna.Trial) -> Values:
    """Return the settings that a trial suggests: the space of the search."""
    values: Values = {
        "train_dimensions": trial.suggest_categorical("train_dimensions", [16, 32, 64, 128]),
        "train_decays": tuple(json.loads(trial.suggest_categorical("train_decays", [json.dumps(d) for d in _DECAYS]))),
        "train_loss": trial.suggest_categorical("train_loss", ["bce", "focal"]),
        "train_negatives": trial.suggest_int("train_negatives", 1, 8),
        "train_softmax_negatives": trial.suggest_categorical("train_softmax_negatives", [512, 2_048, 8_192]),
        "train_dropout": trial.suggest_float("train_dropout", 0.0, 0.5),
        "train_weight_decay": trial.suggest_float("train_weight_decay", 1e-7, 1e-3, log=True),
        "train_learning_rate": trial.suggest_float("train_learning_rate", 1e-3, 1.5e-2, log=True),
        "ease_lambda": trial.suggest_categorical("ease_lambda", [0.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0]),
        "ease_decay": trial.suggest_float("ease_decay", 0.5, 1.0),
        "ease_next_weight": trial.suggest_float("ease_next_weight", 0.0, 3.0),
    }
    if values["train_loss"] == "focal":
        values["train_focal_gamma"] = trial.suggest_float("train_focal_gamma", 0.5, 4.0)
    return {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in values.items()}


def before_tests(events: Sequence[AnyEvent], protocol: Protocol) -> Sequence[AnyEvent]:
    """Return the events before the first test of a protocol, nobody who was erased; NotReadyError if they are few."""
    events = without_erased(events)
    places = targets_of(events)
    first = int(len(places) * protocol.warm)
    if first < FEWEST:
        raise NotReadyError(f"{first} enrolments before the first test are too few to tune on: {FEWEST} are wanted")
    return events[: places[first]]


def score_on_stream(dataset: Dataset, protocol: Protocol, seed: int) -> Score:
    """Return what scores settings on the last tenth of what is known before the tests of a protocol."""
    known = before_tests(dataset.timeline(), protocol)

    def score(settings: TrainerSettings) -> float:
        plan = Plan(PROTOCOLS["temporal"], (MODEL,), settings.evaluate_tests, seed=seed)
        found = Evaluation(dataset.courses, known, plan, settings, no_progress).run()
        return found.scoreboards[MODEL].metrics(found.num_courses)[OBJECTIVE]

    return score


def score_on_split(split: Split, seed: int) -> Score:
    """Return what scores settings on each learner's last training course, among others drawn afresh."""
    held = without_last(split, seed)

    def score(settings: TrainerSettings) -> float:
        return SplitEvaluation(held, [MODEL], settings, seed, no_progress, settings.evaluate_tests).run()[MODEL][
            OBJECTIVE
        ]

    return score


def tune(
    score: Score, settings: TrainerSettings, trials: int, seed: int, tried: Callable[[Trial], None]
) -> list[Trial]:
    """Return so many trials; the first is of the settings as they are, so the best is never worse.

    Settings that cannot be trained with are a trial without a score; an error of the first trial is raised.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    done = [Trial(settings, score(settings))]
    tried(done[0])
    while len(done) < trials:
        asked = study.ask()
        done.append(_try(score, settings.model_copy(update=values_of(asked))))
        failed = None if done[-1].score is not None else optuna.trial.TrialState.FAIL
        study.tell(asked, done[-1].score, state=failed)
        tried(done[-1])
    return done


def _try(score: Score, settings: TrainerSettings) -> Trial:
    try:
        return Trial(settings, score(settings))
    except CoursestreamError as error:
        return Trial(settings, None, str(error))


def best_of(trials: Sequence[Trial]) -> Trial:
    """Return the trial of the greatest score, the first of equals; there is one with a score."""
    return max(trials, key=lambda trial: -1.0 if trial.score is None else trial.score)
