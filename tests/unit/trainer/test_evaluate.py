import numpy as np
import pytest

from recommender.history import Learner
from recommender.model import Model
from recommender.popularity import Popularity
from recommender.recommend import Recommendation, Recommender, prepare
from schemas.candidates import Candidate, Source
from schemas.courses import Course
from tests.unit.trainer.campus import checkerboard, courses, log_of
from trainer.cases import Block, Case, blocks_of, cases_of, popularity_before
from trainer.evaluate import evaluate, listed_rank, metrics_of, popular_ranks
from trainer.interactions import interactions_of
from trainer.metrics import NOT_LISTED
from trainer.text import bootstrap_model


def _list(*scores: float) -> Recommendation:
    rows = tuple(Candidate(f"c{i}", score, (0.0,) * 5, Source.POPULAR, None) for i, score in enumerate(scores))
    return Recommendation((), rows, np.empty(0, dtype=np.float32))


def test_ties_count_against_the_course() -> None:
    tied = _list(3.0, 2.0, 2.0, 2.0, 1.0)
    assert [listed_rank(tied, f"c{i}") for i in range(5)] == [1, 4, 4, 4, 5]
    assert listed_rank(tied, "elsewhere") == NOT_LISTED


def test_metrics_of_nobody_are_zero() -> None:
    assert metrics_of(np.empty(0, dtype=np.int64), set(), 0) == {
        "hr@10": 0.0, "ndcg@10": 0.0, "coverage@10": 0.0, "tests": 0.0
    }  # fmt: skip


def _bootstrap(number: int) -> Recommender:
    catalogue = {course.course_id: course for course in courses(number)}
    model: Model = bootstrap_model(catalogue)
    return Recommender(prepare(model), catalogue, Popularity({"c00": 1.0, "c01": 0.5, "c02": 0.5}))


def test_popularity_ranks_what_is_not_taken() -> None:
    taken = frozenset({"c00"})
    cases = [Case(Learner(taken=taken), course, 0) for course in ("c01", "c02", "c03")] + [Case(Learner(), "c00", 0)]
    ranks, shown = popular_ranks(_bootstrap(12), cases)
    assert ranks.tolist() == [2, 2, NOT_LISTED, 1]
    assert {"c00", "c01", "c02"} <= shown


def test_a_list_without_a_model_is_the_popular_one() -> None:
    cases = [Case(Learner(), course, 0) for course in ("c00", "c01", "c11")]
    block = Block(cases, Popularity({"c00": 1.0, "c01": 0.5}))
    found = evaluate(_bootstrap(12), [block])
    assert found.hybrid.metrics["hr@10"] == found.popular.metrics["hr@10"] == pytest.approx(2 / 3, abs=1e-6)
    assert found.hybrid.metrics["tests"] == 3.0
    assert found.hybrid.ranks[:2].tolist() == found.popular.ranks[:2].tolist() == [1, 2]


def test_cases_are_the_learners_just_before_in_time_order() -> None:
    log = log_of(checkerboard(learners=12), [Course(course_id="c00")])
    interactions = interactions_of(log.events, log.courses)
    cases = cases_of(log, interactions, np.arange(0, len(interactions), 3))
    assert len(cases) == len(interactions) // 3
    assert all(case.course_id not in case.learner.taken for case in cases)
    assert all(entry.occurred_us <= case.occurred_us for case in cases for entry in case.learner.entries)
    assert [case.occurred_us for case in cases] == sorted(case.occurred_us for case in cases)
    blocks = list(blocks_of(cases, interactions))
    assert sum(len(block.cases) for block in blocks) == len(cases)


def test_popularity_knows_only_what_came_before() -> None:
    log = log_of(checkerboard(learners=12))
    interactions = interactions_of(log.events)
    first = int(np.argmin(interactions.occurred_us))
    assert popularity_before(interactions, int(interactions.occurred_us[first])).popular == {}
    soon = popularity_before(interactions, int(interactions.occurred_us[first]) + 1)
    assert soon.popular == {interactions.course_ids[interactions.course[first]]: 1.0}
