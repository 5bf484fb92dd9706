"""Offline protocols: held against a plain referee, and against looking ahead."""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

import trainer.protocols
from schemas.errors import NotReadyError
from schemas.events import AnyEvent, Enrolled, Erased, Viewed
from tests.unit.trainer.campus import DAY_S, START_S, checkerboard, courses, enrolled
from trainer.protocols import PROTOCOLS, Evaluated, Evaluation, Plan, Protocol
from trainer.settings import TrainerSettings

SETTINGS = TrainerSettings(train_dimensions=8, train_epochs=3)
HALF = Protocol(0.5, 0)


def _events(learners: int = 60) -> Sequence[AnyEvent]:
    return sorted(checkerboard(learners=learners), key=lambda event: event.occurred_us)


def _evaluate(events: Sequence[AnyEvent], plan: Plan, steps: list[float] | None = None) -> Evaluated:
    seen = [] if steps is None else steps
    return Evaluation(courses(), events, plan, SETTINGS, lambda _what, done: seen.append(done)).run()


def _referee(events: Sequence[AnyEvent], warm: float = 0.5) -> tuple[list[int], list[int]]:
    """Return the ranks by popularity and by plain EASE over all that is not taken, one test after the other."""
    targets = [event for event in events if isinstance(event, Enrolled)]
    first = int(len(targets) * warm)
    counts: Counter[str] = Counter()
    taken: dict[str, list[str]] = defaultdict(list)
    every = [course.course_id for course in courses()]
    popular, ease, weights = [], [], np.zeros((0, 0))
    for place, event in enumerate(targets):
        if place == first:
            weights = _plain_ease(taken, every)
        if place >= first:
            left = [course for course in every if course not in taken[event.user_id]]
            by_count = {course: float(counts[course]) for course in left}
            popular.append(_rank(by_count, event.course_id))
            ages = {course: age for age, course in enumerate(reversed(taken[event.user_id]))}
            by_ease = {
                course: sum(0.9**age * weights[every.index(known), every.index(course)] for known, age in ages.items())
                for course in left
            }
            ease.append(_rank(by_ease if taken[event.user_id] else by_count, event.course_id))
        counts[event.course_id] += 1
        taken[event.user_id].append(event.course_id)
    return popular, ease


def _plain_ease(taken: dict[str, list[str]], every: list[str]) -> NDArray[np.float64]:
    matrix = np.array([[float(course in own) for course in every] for own in taken.values()])
    inverse = np.linalg.inv(matrix.T @ matrix + 200.0 * np.eye(len(every)))
    weights: NDArray[np.float64] = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights


def _rank(scores: dict[str, float], course_id: str) -> int:
    return sum(score >= scores[course_id] for score in scores.values())


def _hits(ranks: list[int]) -> float:
    return float(np.mean([0 < rank <= 10 for rank in ranks]))


def test_popular_and_ease_agree_with_a_plain_referee(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer.protocols, "BLOCK", 1)
    events = [event for event in _events() if isinstance(event, Enrolled)]
    found = _evaluate(events, Plan(HALF, ("popular", "ease")))
    popular, ease = _referee(events)
    boards = found.scoreboards
    assert len(boards["popular"].ranks) == len(popular) == 300
    assert [rank if rank <= 10 else 0 for rank in popular] == [r if r <= 10 else 0 for r in boards["popular"].ranks]
    assert _hits(boards["ease"].ranks) == pytest.approx(_hits(ease), abs=0.015)


def test_nothing_of_the_future_is_known() -> None:
    events = _events()
    plan = Plan(Protocol(0.5, 150), ("popular", "hybrid"))
    whole = _evaluate(events, plan)
    targets = [place for place, event in enumerate(events) if isinstance(event, Enrolled)]
    until = targets[420]
    twisted = [_other_course(event) if place > until else event for place, event in enumerate(events)]
    changed = _evaluate(twisted, plan)
    assert whole.refits == changed.refits == 2
    for name, board in whole.scoreboards.items():
        assert board.ranks[:120] == changed.scoreboards[name].ranks[:120], name
        assert board.ranks != changed.scoreboards[name].ranks, name


def _other_course(event: AnyEvent) -> AnyEvent:
    if not isinstance(event, Enrolled):
        return event
    second = event.occurred_us // 1_000_000 - START_S
    return enrolled(event.user_id, f"c{39 - int(event.course_id[1:]):02}", second)


def test_learning_while_testing_beats_popularity_on_the_checkerboard() -> None:
    events = [*_events(), enrolled("newcomer", "c00", 400 * DAY_S)]
    metrics = {name: board.metrics(40) for name, board in _evaluate(events, Plan(HALF)).scoreboards.items()}
    assert metrics["hybrid"]["recall@10"] > metrics["popular"]["recall@10"] + 0.2
    assert metrics["neumf"]["recall@10"] > metrics["popular"]["recall@10"] + 0.1
    assert set(metrics["hybrid"]) >= {"recall@10", "hr@10", "ndcg@10", "mrr@10", "precision@10", "coverage@10"}
    assert set(metrics["hybrid"]) >= {
        "recall@5",
        "hr@5",
        "ndcg@5",
        "mrr@5",
        "precision@5",
        "novelty@5",
        "similarity@10",
    }
    assert metrics["hybrid"]["ndcg@10_low"] < metrics["hybrid"]["ndcg@10"] < metrics["hybrid"]["ndcg@10_high"]
    assert metrics["hybrid"]["novelty@10"] > 0
    assert metrics["hybrid"]["tests_empty"] == 1.0
    assert metrics["hybrid"]["tests"] == 301.0


def test_a_seed_fixes_the_outcome() -> None:
    plan = Plan(HALF, ("hybrid",), limit=50)
    one, other = (_evaluate(_events(), plan).scoreboards["hybrid"].ranks for _ in range(2))
    assert one == other


def test_a_limit_spaces_the_tests_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer.protocols, "BLOCK", 1)
    events = _events()
    every = _evaluate(events, Plan(HALF, ("popular",))).scoreboards["popular"].ranks
    some = _evaluate(events, Plan(HALF, ("popular",), limit=100)).scoreboards["popular"].ranks
    assert some == every[::3]


def test_the_temporal_protocol_fits_once_and_tests_the_last_tenth() -> None:
    found = _evaluate(_events(), Plan(PROTOCOLS["temporal"], ("popular", "ease")))
    assert found.refits == 1
    assert len(found.scoreboards["ease"].ranks) == 60


def test_buckets_stand_beside_popularity_on_the_same_tests() -> None:
    found = _evaluate(_events(), Plan(HALF, ("ease",)))
    buckets = found.buckets()
    assert list(found.scoreboards) == ["ease"]
    assert all(list(by_model) == ["popular", "ease"] for by_model in buckets.values())
    assert all(one["popular"]["tests"] == one["ease"]["tests"] for one in buckets.values())
    assert sum(one["ease"]["tests"] for name, one in buckets.items() if name != "new") == 300


def test_a_course_is_new_for_a_week() -> None:
    late = 400 * DAY_S
    events = [*_events(), *(enrolled(f"late{i}", "cx", late + i * 2 * DAY_S) for i in range(5))]
    board = _evaluate(events, Plan(HALF, ("popular",))).scoreboards["popular"]
    assert board.new[-5:] == [True] * 4 + [False]
    assert not any(board.new[:-5])


def test_what_was_only_looked_at_can_be_hidden() -> None:
    events = _events()
    targets = [event for event in events if isinstance(event, Enrolled)]
    looked: list[AnyEvent] = [
        Viewed(event_id=f"v{i}", user_id=event.user_id, course_id=event.course_id, occurred_at=event.occurred_at)
        for i, event in enumerate(targets[-30:])
    ]
    mixed = sorted([*looked, *events], key=lambda event: event.occurred_us)  # stable: looked at first
    plan = Plan(HALF, ("popular",))
    taken, seen = (_evaluate(mixed, plan._replace(hide_seen=hidden)) for hidden in (False, True))
    assert len(taken.scoreboards["popular"].ranks) == 300
    assert len(seen.scoreboards["popular"].ranks) == 285


def test_who_was_erased_is_neither_tested_nor_fitted_nor_counted() -> None:
    events, gone = _events(), {"u3", "u4"}
    last_s = max(event.occurred_us for event in events) // 1_000_000
    erased = [Erased(event_id=user, user_id=user, occurred_at=last_s) for user in sorted(gone)]
    plan = Plan(Protocol(0.5, 150), ("popular", "hybrid"))
    found = _evaluate([*events, *erased], plan)
    without = _evaluate([event for event in events if event.user_id not in gone], plan)
    assert {name: board.ranks for name, board in found.scoreboards.items()} == {
        name: board.ranks for name, board in without.scoreboards.items()
    }
    assert len(found.scoreboards["popular"].ranks) == 290


def test_progress_ends_at_the_end() -> None:
    steps: list[float] = []
    _evaluate(_events(), Plan(HALF, ("popular",)), steps)
    assert steps == sorted(steps)
    assert steps[-1] == 1.0


def test_too_few_enrolments_are_one_clear_line() -> None:
    with pytest.raises(NotReadyError, match="19 enrolments are too few"):
        _evaluate([enrolled(f"u{i}", "c00", i) for i in range(19)], Plan(HALF))


@pytest.mark.parametrize("kind", ["one course", "one learner", "same second"])
def test_a_poor_data_set_has_a_result(kind: str) -> None:
    many = {"one course": [enrolled(f"u{i}", "c00", i) for i in range(60)],
            "one learner": [enrolled("u", f"c{i % 40:02}", i) for i in range(40)],
            "same second": [enrolled(f"u{i % 9}", f"c{i % 40:02}", 0) for i in range(90)]}  # fmt: skip
    found = _evaluate(many[kind], Plan(Protocol(0.5, 10)))
    for board in found.scoreboards.values():
        assert all(np.isfinite(value) for value in board.metrics(found.num_courses).values())
