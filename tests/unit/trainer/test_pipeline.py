from pathlib import Path

import numpy as np
import pytest

from recommender.bundle import load_model
from recommender.popularity import Popularity
from recommender.recommend import Recommender, prepare
from schemas.errors import NotReadyError
from schemas.events import Enrolled, LearnerEvent, Rated
from schemas.manifest import Manifest
from tests.grade_school import courses as school_courses
from tests.grade_school import grades
from tests.unit.trainer.campus import START_S, checkerboard, courses, enrolled, log_of
from trainer.cases import cases_of
from trainer.gate import judge
from trainer.interactions import interactions_of
from trainer.log import Log
from trainer.pipeline import Trained, train_model
from trainer.publish import Made, write_bundle
from trainer.result import no_progress
from trainer.settings import TrainerSettings

SETTINGS = TrainerSettings(train_dimensions=16, train_epochs=8, min_enrolments=100)


@pytest.fixture(scope="module")
def log() -> Log:
    return log_of(checkerboard(learners=150), courses())


@pytest.fixture(scope="module")
def trained(log: Log) -> Trained:
    return train_model(log, SETTINGS, 1, False, no_progress)


def _bundle(folder: Path, trained: Trained, log: Log, seed: int) -> Manifest:
    folder.mkdir()
    verdict = judge(trained.found.tail, None, trained.duel, trained.absent, force=False)
    return write_bundle(folder, Made(trained.model, log, seed, verdict, trained.found.epochs), SETTINGS)


def test_the_checkerboard_is_learnt(trained: Trained) -> None:
    hybrid, popular = trained.found.tail
    assert hybrid.metrics["tests"] == 150
    assert hybrid.metrics["hr@10"] > 0.75 > popular.metrics["hr@10"] + 0.2


def test_each_colour_is_recommended_its_own(log: Log, trained: Trained) -> None:
    interactions = interactions_of(log.events, log.courses)
    cases = cases_of(log, interactions, np.flatnonzero(np.diff(interactions.history_starts)[:-1] == 5))
    recommender = Recommender(prepare(trained.model), log.courses, Popularity())
    lists = recommender.recommend([case.learner for case in cases], limit=10)
    own = [
        int(candidate.course_id[1:]) % 2 == int(case.course_id[1:]) % 2
        for case, listed in zip(cases, lists, strict=True)
        for candidate in listed.candidates
    ]
    assert np.mean(own) > 0.95


def test_the_same_log_and_seed_make_the_same_bundle(log: Log, trained: Trained, tmp_path: Path) -> None:
    again = train_model(log_of(reversed(checkerboard(learners=150)), courses()), SETTINGS, 1, False, no_progress)
    other = train_model(log, SETTINGS, 2, False, no_progress)
    first, second, third = (
        _bundle(tmp_path / name, model, log, seed)
        for name, model, seed in (("one", trained, 1), ("two", again, 1), ("three", other, 2))
    )
    assert first.digest == second.digest != third.digest
    assert first.version == second.version == f"m-{first.digest[:12]}"
    assert again.found.tail.hybrid.metrics == trained.found.tail.hybrid.metrics


def test_a_bundle_is_what_was_trained(log: Log, trained: Trained, tmp_path: Path) -> None:
    manifest = _bundle(tmp_path / "bundle", trained, log, 1)
    loaded = load_model(tmp_path / "bundle")
    assert loaded.course_ids == trained.model.course_ids
    assert loaded.neumf is not None and trained.model.neumf is not None
    np.testing.assert_array_equal(loaded.neumf.history, trained.model.neumf.history)
    assert manifest.snapshot_digest == log.digest
    assert manifest.offsets == log.offsets
    assert manifest.metrics == trained.found.tail.hybrid.metrics
    assert manifest.champion_metrics == manifest.popular_metrics == trained.found.tail.popular.metrics
    assert manifest.newest_us == max(event.occurred_us for event in log.events)
    assert manifest.epochs == trained.found.epochs <= SETTINGS.train_epochs


def test_too_few_enrolments_are_said_unless_forced() -> None:
    small = log_of(checkerboard(learners=5), courses())
    with pytest.raises(NotReadyError, match=r"50 enrolments are too few .* 100 are wanted"):
        train_model(small, SETTINGS, 1, False, no_progress)
    assert train_model(small, SETTINGS, 1, True, no_progress).model.neumf is not None


def _rated(user_id: str, course_id: str, second: int) -> Rated:
    return Rated(
        event_id=f"r {user_id} {course_id}", user_id=user_id, course_id=course_id, occurred_at=START_S + second, value=3
    )


ODD_LOGS: dict[str, tuple[list[LearnerEvent], str]] = {
    "nothing": ([], "0 enrolments"),
    "one event": ([enrolled("u", "c", 0)], "0 enrolments"),
    "one course": ([enrolled(f"u{i}", "c", i) for i in range(300)], "every course"),
    "one learner, and no catalogue": ([enrolled("u", f"c{i}", i) for i in range(300)], "0 enrolments"),
    "ratings alone": ([_rated(f"u{i}", f"c{i % 7}", i) for i in range(300)], "0 enrolments"),
}


@pytest.mark.parametrize("name", ODD_LOGS)
def test_a_log_that_teaches_nothing_is_one_clear_line(name: str) -> None:
    events, reason = ODD_LOGS[name]
    with pytest.raises(NotReadyError, match=reason):
        train_model(log_of(events), SETTINGS, 1, True, no_progress)


def test_one_learner_with_courses_left_is_trained_on() -> None:
    log = log_of([enrolled("u", f"c{i:02}", i) for i in range(30)], courses(40))
    assert train_model(log, SETTINGS, 1, True, no_progress).model.neumf is not None


def test_equal_ratings_and_courses_without_text_are_no_obstacle() -> None:
    events = checkerboard(learners=20)
    events += [_rated(event.user_id, getattr(event, "course_id", ""), 400 * 86_400) for event in events[::7]]
    model = train_model(log_of(events), SETTINGS, 1, False, no_progress).model
    assert model.text.vocabulary == ()
    lists = Recommender(prepare(model), {}, Popularity()).recommend([], limit=10)
    assert lists == []


def test_progress_rises_to_the_end(log: Log) -> None:
    seen: list[float] = []
    train_model(log, SETTINGS, 1, False, lambda _, fraction: seen.append(fraction))
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(0.9)  # what is left is fitting grades, which tells no progress, and publishing


def test_a_log_with_grades_makes_a_model_that_predicts_them(tmp_path: Path, trained: Trained) -> None:
    events: list[LearnerEvent] = []
    for one in grades():
        about = {"user_id": one.user_id, "course_id": one.course_id, "occurred_at": one.occurred_at}
        events += [Enrolled(event_id=f"taken {one.event_id}", **about), one]  # type: ignore[arg-type]
    school = log_of(sorted(events, key=lambda event: (event.user_id, event.occurred_us)), school_courses())
    settings = TrainerSettings(train_epochs=1, train_dimensions=8, min_enrolments=100, train_min_grades=100)
    found = train_model(school, settings, 1, False, no_progress)
    assert found.grades.metrics["grades_rmse"] < found.grades.metrics["grades_rmse_bias"]
    manifest = _bundle(tmp_path / "bundle", found, school, 1)
    loaded, fitted = load_model(tmp_path / "bundle").grades, found.model.grades
    assert "grades.npz" in manifest.files and loaded is not None and fitted is not None
    assert loaded.history.tolist() == fitted.history.tolist()
    assert trained.model.grades is None
    assert trained.grades.reason == "0 grades are too few: 2000 are wanted (TRAIN_MIN_GRADES)"
