"""Logs and catalogues as nobody wishes for: each makes a model without NaN, or one clear line."""

from pathlib import Path

import numpy as np
import pytest

from recommender.bundle import load_model
from recommender.model import NEUMF_ARRAYS
from schemas.courses import Course
from schemas.errors import ConfigurationError, CoursestreamError
from schemas.events import LearnerEvent, Rated
from tests.unit.trainer.campus import START_S, checkerboard, courses, enrolled, log_of
from trainer.gate import judge
from trainer.log import Log
from trainer.pipeline import train_model
from trainer.publish import Made, write_bundle
from trainer.settings import TrainerSettings

SETTINGS = TrainerSettings(train_dimensions=8, train_epochs=2, min_enrolments=1, ease_max_courses=500)
SCRIPTS = ("курс алгебры", "دورة الجبر", "代数 入门", "बीजगणित पाठ्यक्रम", "algèbre linéaire")


def _rated(event: LearnerEvent, value: float) -> Rated:
    return Rated(
        event_id=f"r{event.event_id}", user_id=event.user_id, course_id=getattr(event, "course_id", ""),
        occurred_at=event.occurred_us / 1e6 + 1, value=value,
    )  # fmt: skip


def _many_courses() -> Log:
    events = [enrolled("collector", f"c{i:04}", i) for i in range(5_000)]
    return log_of(events + checkerboard(learners=20), [Course(course_id=f"c{i:04}") for i in range(5_000)] + courses())


def _numbers() -> list[LearnerEvent]:
    ids = {f"c{i:02}": text for i, text in enumerate(["1e999", "nan", "-0", "007", "7", "inf", "0x10", "1_000"] * 5)}
    return [enrolled(f"{i % 9}", ids[getattr(event, "course_id", "")], i) for i, event in enumerate(checkerboard(20))]


LEARNABLE = {
    "one learner": log_of([enrolled("u", f"c{i:02}", i) for i in range(30)], courses()),
    "all ratings equal": log_of([*checkerboard(20), *(_rated(event, 3) for event in checkerboard(20))], courses()),
    "lowest ratings alone": log_of([*checkerboard(20), *(_rated(event, 1) for event in checkerboard(20))], courses()),
    "no text": log_of(checkerboard(20), [Course(course_id=f"c{i:02}") for i in range(40)]),
    "no catalogue": log_of(checkerboard(20)),
    "five scripts": log_of(
        checkerboard(20), [Course(course_id=f"c{i:02}", title=SCRIPTS[i % 5], language="xx") for i in range(40)]
    ),
    "ids like numbers": log_of(_numbers()),
    "all at one moment": log_of([enrolled(f"u{i}", f"c{i % 7:02}", 0) for i in range(200)], courses()),
    "two courses": log_of([enrolled(f"u{i}", f"c{i % 2:02}", i) for i in range(200)], courses(2)),
    "a learner of 5,000 courses": _many_courses(),
}


@pytest.mark.parametrize("name", LEARNABLE)
def test_an_odd_log_makes_a_model_of_finite_numbers(name: str, tmp_path: Path) -> None:
    log = LEARNABLE[name]
    trained = train_model(log, SETTINGS, 1, False)
    verdict = judge(trained.found.tail, None, None, trained.absent, force=False)
    assert verdict.reason
    manifest = write_bundle(tmp_path, Made(trained.model, log, 1, verdict, trained.found.epochs), SETTINGS)
    loaded = load_model(tmp_path)
    assert loaded.neumf is not None and loaded.ease is not None
    assert all(np.isfinite(getattr(loaded.neumf, array)).all() for array in NEUMF_ARRAYS)
    assert np.isfinite(loaded.ease.rows.data).all() and np.isfinite(loaded.text.idf).all()
    assert all(np.isfinite(value) for value in manifest.metrics.values())


ODD = {
    "one course": (log_of([enrolled(f"u{i}", "c00", i) for i in range(200)], courses(1)), "taken every course"),
    "an empty log": (log_of([]), "0 enrolments"),
    "ratings alone": (log_of([_rated(event, 4) for event in checkerboard(9)], courses()), "0 enrolments"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_teaches_nothing_is_one_clear_line(name: str) -> None:
    log, said = ODD[name]
    with pytest.raises(CoursestreamError, match=said) as raised:
        train_model(log, SETTINGS, 1, True)
    assert "\n" not in str(raised.value)


def test_a_training_that_diverges_says_what_to_lower() -> None:
    wild = SETTINGS.model_copy(update={"train_learning_rate": 1e30, "train_epochs": 6})
    with pytest.raises(ConfigurationError, match="lower TRAIN_LEARNING_RATE, which is 1e"):
        train_model(LEARNABLE["no text"], wild, 1, True)


def test_events_of_the_far_past_and_the_far_future_are_moments_as_others() -> None:
    events = [*checkerboard(20), enrolled("old", "c00", -START_S), enrolled("late", "c01", 4_000_000_000 - START_S)]
    assert train_model(log_of(events, courses()), SETTINGS, 1, False).model.neumf is not None
