"""The search of settings: what it may look at, that its file is read back, and that it finds what is better."""

from pathlib import Path

import optuna
import pytest

from datasets.dataset import Dataset
from datasets.ncf import read
from schemas.errors import ConfigurationError, NotReadyError
from schemas.events import AnyEvent, Enrolled
from tests.unit.split_folder import write_split
from tests.unit.trainer.campus import checkerboard, courses, enrolled
from trainer.protocols import PROTOCOLS, Protocol
from trainer.settings import TrainerSettings, changed, load_settings, toml_of
from trainer.tune import (
    Trial,
    before_tests,
    best_of,
    score_on_split,
    score_on_stream,
    tune,
    values_of,
)

SETTINGS = TrainerSettings(train_dimensions=8, train_epochs=2)


def _dataset(events: list[AnyEvent]) -> Dataset:
    return Dataset("toy", courses(), [], sorted(events, key=lambda event: event.occurred_us))


def _by_decay(settings: TrainerSettings) -> float:
    """Return a score that is greatest at an item-item decay of .6."""
    return 1.0 - abs(settings.ease_decay - 0.6)


def _ignore(_trial: Trial) -> None:
    """Take no notice of a trial."""


def test_the_search_finds_what_is_better() -> None:
    seen: list[Trial] = []
    done = tune(_by_decay, SETTINGS, 25, 1, seen.append)
    assert seen == done
    assert len(done) == 25
    assert done[0].settings is SETTINGS
    assert abs(best_of(done).settings.ease_decay - 0.6) < 0.03
    assert [trial.score for trial in tune(_by_decay, SETTINGS, 25, 1, _ignore)] == [trial.score for trial in done]


def test_settings_that_cannot_be_trained_with_are_passed_over() -> None:
    def score(settings: TrainerSettings) -> float:
        if settings is not SETTINGS:
            raise ConfigurationError("the training ended in numbers that are none")
        return 0.5

    done = tune(score, SETTINGS, 4, 1, _ignore)
    assert [trial.score for trial in done] == [0.5, None, None, None]
    assert "numbers that are none" in done[1].error
    assert best_of(done) is done[0]
    with pytest.raises(ConfigurationError):
        tune(lambda settings: score(settings.model_copy()), SETTINGS, 4, 1, _ignore)


def test_what_is_suggested_is_read_back_from_the_file(tmp_path: Path) -> None:
    study, path = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1)), tmp_path / "best.toml"
    for _ in range(50):
        suggested = SETTINGS.model_copy(update=values_of(study.ask()))
        path.write_text(toml_of(changed(suggested)))
        assert load_settings(train_config=path) == suggested.model_copy(update={"train_config": path})


def test_nothing_from_the_first_test_on_is_looked_at() -> None:
    events = _dataset([*checkerboard(learners=60)]).events
    targets = [event for event in events if isinstance(event, Enrolled)]
    for warm in (0.5, 0.9):
        known = before_tests(events, Protocol(warm, 0))
        assert [event for event in known if isinstance(event, Enrolled)] == targets[: int(600 * warm)]
        assert known[-1].occurred_us <= targets[int(600 * warm)].occurred_us


def test_a_stream_is_scored_by_what_lies_before_its_tests() -> None:
    events = _dataset([*checkerboard(learners=60)]).events
    half = before_tests(events, PROTOCOLS["prequential"])
    other = [*half, *(enrolled(f"x{i}", "c00", 500 * 86_400 + i) for i in range(len(events) - len(half) - 100))]
    places = sum(isinstance(event, Enrolled) for event in other)
    one = score_on_stream(_dataset(events), PROTOCOLS["prequential"], 1)(SETTINGS)
    cut = Protocol(300 / places + 1e-9, 0)
    assert 0 < one == score_on_stream(_dataset(other), cut, 1)(SETTINGS)


def test_a_split_is_scored_without_its_tests(tmp_path: Path) -> None:
    split = read(write_split(tmp_path / "split", learners=40))
    swapped = [test._replace(course_id=test.negatives[0], negatives=test.negatives[1:]) for test in split.tests]
    one = score_on_split(split, 1)(SETTINGS)
    assert 0 < one == score_on_split(type(split)(split.courses, split.histories, swapped), 1)(SETTINGS)


def test_too_few_enrolments_are_one_clear_line() -> None:
    with pytest.raises(NotReadyError, match="15 enrolments before the first test are too few to tune on"):
        before_tests([enrolled(f"u{i}", "c00", i) for i in range(30)], PROTOCOLS["prequential"])
