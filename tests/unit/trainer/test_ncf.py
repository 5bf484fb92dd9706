"""The NCF paper's protocol on a small split, against plain counting; and that no test chooses anything."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import trainer.ncf
from datasets.ncf import Split, read
from schemas.errors import NotReadyError
from tests.unit.split_folder import write_split
from trainer.ncf import SplitEvaluation
from trainer.ncf_split import DAY_US, LAST_DAY, interactions_of, learner_of, without_last
from trainer.result import no_progress
from trainer.settings import TrainerSettings
from trainer.verdict import Metrics

SETTINGS = TrainerSettings(train_dimensions=8, train_epochs=3)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    return read(write_split(tmp_path_factory.mktemp("ncf") / "split"))


def _evaluate(split: Split, *models: str, limit: int = 0) -> dict[str, Metrics]:
    return SplitEvaluation(split, models, SETTINGS, 1, no_progress, limit).run()


def _hits_by_popularity(split: Split) -> tuple[float, float]:
    """Return HR@10 by counts, ties against the course: among the negatives, and among all that is not taken."""
    counts = Counter(course for history in split.histories.values() for course in history)
    every, sampled, full = {course.course_id for course in split.courses}, 0, 0
    for test in split.tests:
        own, left = counts[test.course_id], every - set(split.histories[test.user_id]) - {test.course_id}
        sampled += sum(counts[course] >= own for course in test.negatives) < 10
        full += sum(counts[course] >= own for course in left) < 10
    return sampled / len(split.tests), full / len(split.tests)


def test_popularity_agrees_with_plain_counting(split: Split) -> None:
    found = _evaluate(split, "popular")["popular"]
    assert (found["hr@10"], found["hr@10_full"]) == _hits_by_popularity(split)
    assert found["hr@10_full_low"] < found["hr@10_full"] < found["hr@10_full_high"]
    assert found["tests"] == 200
    assert {"coverage@10", "novelty@5", "similarity@10", "mrr@5", "ndcg@10_full"} <= found.keys()
    assert not any("_ties" in name or "_clean" in name for name in found)


def test_models_beat_popularity_on_the_checkerboard(split: Split) -> None:
    found = _evaluate(split, "popular", "ease", "hybrid")
    for name in ("ease", "hybrid"):
        assert found[name]["hr@10"] > found["popular"]["hr@10"] + 0.2
        assert found[name]["hr@10_full"] > found["popular"]["hr@10_full"] + 0.05


def test_a_seed_fixes_the_outcome(split: Split) -> None:
    assert _evaluate(split, "hybrid", limit=20) == _evaluate(split, "hybrid", limit=20)


def test_no_test_chooses_anything(split: Split) -> None:
    """The same scores come out whatever the tests are: those of a learner asked for alone do not change."""
    asked = split.tests[0]
    shuffled = [test._replace(course_id=test.negatives[0], negatives=test.negatives[1:]) for test in split.tests[1:]]
    alone, other = (replace(split, tests=[asked, *rest]) for rest in ([], shuffled))
    one, two = (_evaluate(each, "hybrid", limit=1)["hybrid"] for each in (alone, other))
    assert one == two


def test_ties_and_others_stand_apart(split: Split) -> None:
    known = [test._replace(is_tied=place % 4 == 0) for place, test in enumerate(split.tests[:100])]
    found = _evaluate(replace(split, tests=[*known, *split.tests[100:]]), "popular")["popular"]
    assert (found["tests"], found["tests_ties"], found["tests_clean"]) == (200, 25, 75)
    whole, ties, clean = (
        _evaluate(replace(split, tests=part), "popular")["popular"]
        for part in (known, known[::4], [test for test in known if not test.is_tied])
    )
    assert found["hr@10_full_ties"] == ties["hr@10_full"]
    assert found["ndcg@10_clean_high"] == clean["ndcg@10_high"]
    assert whole["hr@10"] == pytest.approx(0.25 * ties["hr@10"] + 0.75 * clean["hr@10"], abs=1e-6)


def test_interactions_keep_the_order_and_end_on_one_day(split: Split) -> None:
    interactions = interactions_of(split, 4)
    assert len(interactions) == 4 * 200
    assert len(interactions.taken_us) == 10 * 200
    last = np.flatnonzero(interactions.occurred_us == LAST_DAY * DAY_US)
    for row in last[:5].tolist():
        user_id = interactions.user_ids[interactions.learner[row]]
        before = interactions.history_courses[interactions.history_starts[row] : interactions.history_starts[row + 1]]
        history = [interactions.course_ids[course] for course in [*before.tolist(), int(interactions.course[row])]]
        assert history == split.histories[user_id]
        days = [entry.occurred_us // DAY_US for entry in learner_of("", history).entries]
        assert days == list(range(LAST_DAY - 9, LAST_DAY + 1))


def test_validation_is_the_last_training_course_among_others_drawn_afresh(split: Split) -> None:
    held = without_last(split, 3)
    assert [test.course_id for test in held.tests] == [history[-1] for history in split.histories.values()]
    for test in held.tests:
        history = split.histories[test.user_id]
        assert held.histories[test.user_id] == history[:-1]
        assert len(set(test.negatives)) == len(test.negatives) == 50
        assert not set(history) & set(test.negatives)
    assert without_last(split, 3) == held != without_last(split, 4)


def test_too_few_learners_are_one_clear_line(tmp_path: Path) -> None:
    split = read(write_split(tmp_path / "split", learners=1))
    with pytest.raises(NotReadyError, match="1 learners are too few"):
        _evaluate(split, "popular")


def test_the_ridge_of_plain_ease_is_chosen_without_the_tests(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ridges, one of which makes all weights nearly 0: ranks are rounding, the other is chosen."""
    monkeypatch.setattr(trainer.ncf, "RIDGES", (1e12, 50.0))
    chosen = _evaluate(split, "ease")
    given = SplitEvaluation(split, ["ease"], SETTINGS, 1, no_progress, ridge=50.0).run()
    assert chosen == given
    assert given != SplitEvaluation(split, ["ease"], SETTINGS, 1, no_progress, ridge=1e12).run()
