"""The protocol `grades`: four models on a school whose grades are known, and on the real ones where they are there."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.detect import load
from schemas.errors import NotReadyError
from schemas.events import AnyEvent, Erased, Graded
from tests.grade_school import courses, grades
from trainer.grades_evaluation import MODELS, GradesEvaluation, Plan
from trainer.grades_metrics import Predicted, gain_over, metrics_of

DATA = Path(os.environ.get("COURSESTREAM_DATA", Path(__file__).parents[4] / "shared" / "data"))


def evaluated(events: Sequence[AnyEvent], **plan: Any) -> dict[str, Any]:
    return GradesEvaluation(courses(), events, Plan(**plan), lambda *_: None).run()


@pytest.fixture(scope="module")
def school() -> list[AnyEvent]:
    return sorted(grades(), key=lambda event: event.occurred_us)


@pytest.fixture(scope="module")
def answer(school: list[AnyEvent]) -> dict[str, Any]:
    return evaluated(school, refit=0)


def test_two_subjects_that_go_apart_are_seen_by_all_but_the_bias_model(answer: dict[str, Any]) -> None:
    """A learner good at one subject is weak at the other, so a mean over both says nothing; the noise is 0.03."""
    rmse = {name: metrics["rmse"] for name, metrics in answer["models"].items()}
    assert tuple(rmse) == MODELS
    assert rmse["bias"] > 0.12
    assert max(rmse["itemknn"], rmse["svd"]) < 0.9 * rmse["bias"]
    assert 0.03 < rmse["grades"] < 0.9 * min(rmse["itemknn"], rmse["svd"])
    assert answer["gains"]["svd"]["low"] > 0


def test_every_later_grade_is_a_test_of_every_model(school: list[AnyEvent], answer: dict[str, Any]) -> None:
    cut = sorted(event.occurred_us for event in school)[len(school) // 2]
    tests = sum(event.occurred_us >= cut for event in school)
    for metrics in answer["models"].values():
        assert metrics["tests"] == tests
        assert metrics["rmse_low"] < metrics["rmse"] < metrics["rmse_high"]
        assert metrics["mae_low"] < metrics["mae"] <= metrics["rmse"]
        assert 0 < metrics["ndcg@10"] <= 1


def test_the_answer_has_curves_over_time_and_by_epoch(answer: dict[str, Any]) -> None:
    assert len(answer["curves"]["grades"]) == 20
    learning = answer["learning_curves"]["grades"]
    assert learning["rmse, training"][-1] < learning["rmse, training"][0]
    assert answer["settings"]["grades"] == 1 + int(np.argmin(learning["rmse, validation"]))


def test_fewer_tests_and_models_on_demand_and_refits(school: list[AnyEvent]) -> None:
    found = evaluated(school, models=("bias",), limit=50, refit=200)
    assert (list(found["models"]), found["models"]["bias"]["tests"]) == (["bias"], 50)
    assert found["refits"] == 4
    assert "gains" not in found


def test_who_was_erased_is_left_out(school: list[AnyEvent]) -> None:
    gone = Erased(event_id="gone", user_id="learner-0", occurred_at=86_400 * 1_000)
    found = evaluated([*school, gone], models=("bias",), refit=0)
    rest = evaluated([one for one in school if one.user_id != "learner-0"], models=("bias",), refit=0)
    assert found["models"] == rest["models"]


def test_too_few_grades_are_an_error_that_says_so(school: list[AnyEvent]) -> None:
    with pytest.raises(NotReadyError, match="99 grades are too few to evaluate on: 100 are wanted"):
        evaluated(school[:99])
    one_moment = [
        Graded(event_id=f"{i}", user_id=f"{i}", course_id="arts-0", occurred_at=5, value=50) for i in range(200)
    ]
    with pytest.raises(NotReadyError, match="of one moment"):
        evaluated(one_moment)


def predicted(*pairs: tuple[int, float, float]) -> Predicted:
    owners, guessed, actual = zip(*pairs, strict=True)
    return Predicted(np.array(guessed), np.array(actual), np.array(owners), np.ones(len(owners), dtype=np.bool_))


def test_metrics_worked_by_hand() -> None:
    metrics = metrics_of(predicted((0, 0.5, 0.8), (0, 0.9, 0.5), (1, 0.5, 0.5)))
    assert metrics["rmse"] == pytest.approx(((0.09 + 0.16) / 3) ** 0.5, abs=1e-6)
    assert metrics["mae"] == pytest.approx(0.7 / 3, abs=1e-6)
    best = 0.8 + 0.5 / np.log2(3)
    assert metrics["ndcg@10"] == pytest.approx((0.5 + 0.8 / np.log2(3)) / best, abs=1e-6)
    assert (metrics["learners_ndcg"], metrics["learners_hr"]) == (1, 0)
    assert "hr@10" not in metrics


def test_a_hit_is_the_best_course_within_ten_and_ties_are_lost() -> None:
    def hits(best: float) -> float:
        rest = [(0, 0.5, 0.1)] * 10
        return metrics_of(predicted((0, best, 0.9), *rest))["hr@10"]

    assert (hits(0.6), hits(0.5), hits(0.4)) == (1.0, 0.0, 0.0)


def test_a_gain_is_the_part_by_which_the_error_is_lower() -> None:
    own, other = predicted((0, 0.5, 0.6), (1, 0.5, 0.4)), predicted((0, 0.4, 0.6), (1, 0.6, 0.4))
    assert gain_over(own, other) == {"rmse": 0.5, "low": 0.5, "high": 0.5}


def test_a_term_of_oulad_is_predicted_better_than_by_means() -> None:
    """The first presentations, so that it takes seconds; figures of the whole stand in the README."""
    if not (DATA / "oulad").is_dir():
        pytest.skip("oulad is not here")
    data = load(DATA / "oulad")
    autumn = 1_377_993_600_000_000  # 2013-09-01
    own = [event for event in data.events if isinstance(event, Graded) and event.occurred_us < autumn]
    found = GradesEvaluation(data.courses, own, Plan(("bias", "grades"), refit=0, limit=4_000), lambda *_: None).run()
    assert found["models"]["grades"]["rmse"] < 0.97 * found["models"]["bias"]["rmse"]
