"""Poisoned logs: what they make is refused, or it is no worse than what is there.

The campus has known tastes. What a model is worth is measured on clean enrolments that no training has seen.
"""

import random
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pytest

from recommender.model import Model
from recommender.popularity import Popularity
from recommender.recommend import Recommender, prepare
from recommender.tower import NEWEST
from schemas.courses import Course
from schemas.events import Enrolled, LearnerEvent
from tests.unit.trainer.campus import DAY_S, START_S, enrolled, log_of
from trainer.bounds import cap_targets
from trainer.cases import Block, blocks_of, cases_of
from trainer.champion import Champion
from trainer.evaluate import evaluate, served
from trainer.gate import compare, judge
from trainer.interactions import interactions_of
from trainer.log import Log
from trainer.pipeline import Trained, train_model
from trainer.settings import TrainerSettings
from trainer.split import evenly
from trainer.verdict import Verdict

TASTES, EACH, LEARNERS, TAKEN = 4, 25, 240, 12
PAST_S = 240 * DAY_S
"""The champion has seen what lies before."""
PRESENT_S = 330 * DAY_S
"""What comes later is held out."""
SETTINGS = TrainerSettings(train_dimensions=16, train_epochs=6, min_enrolments=100)
COURSES = [Course(course_id=f"c{i:03}", title=f"title{i}") for i in range(TASTES * EACH)]


def _campus() -> list[Enrolled]:
    """Return a year of enrolments in time order: a learner takes courses of one taste alone, a few far more often."""
    dice = random.Random(5)
    weights = [1.0 / (1 + place) for place in range(EACH)]
    events = []
    for learner in range(LEARNERS):
        first, chosen = learner % TASTES * EACH, set[int]()
        while len(chosen) < TAKEN:
            chosen.add(dice.choices(range(EACH), weights)[0])
        taken = [f"c{first + place:03}" for place in sorted(chosen)]
        events += [enrolled(f"u{learner}", course_id, dice.randrange(365 * DAY_S)) for course_id in taken]
    return sorted(events, key=lambda event: event.occurred_us)


def _between(events: Iterable[Enrolled], since_s: int, until_s: int) -> list[Enrolled]:
    return [event for event in events if since_s <= event.occurred_at - START_S < until_s]  # type: ignore[operator]


def shuffled(events: list[Enrolled]) -> list[Enrolled]:
    """Return the events with their courses permuted: who took what no longer says anything of taste."""
    ids = [event.course_id for event in events]
    random.Random(6).shuffle(ids)
    return [
        enrolled(event.user_id, course_id, round(event.occurred_us / 1e6) - START_S)
        for event, course_id in zip(events, ids, strict=True)
    ]


CLEAN = _campus()
PAST, NEW, HELD_OUT = _between(CLEAN, 0, PAST_S), _between(CLEAN, PAST_S, PRESENT_S), _between(CLEAN, PRESENT_S, 10**9)


def _log(events: Iterable[LearnerEvent]) -> Log:
    return log_of(events, COURSES)


@pytest.fixture(scope="module")
def held_out() -> list[Block]:
    log = _log(CLEAN)
    interactions = interactions_of(log.events, log.courses)
    rows = np.flatnonzero(interactions.occurred_us >= (START_S + PRESENT_S) * 1_000_000)
    by_time = rows[np.argsort(interactions.occurred_us[rows])]
    return list(blocks_of(cases_of(log, interactions, evenly(by_time, 400)), interactions))


def _recommender(model: Model) -> Recommender:
    return Recommender(prepare(model), {course.course_id: course for course in COURSES}, Popularity())


class Made(NamedTuple):
    trained: Trained
    verdict: Verdict


def _make(events: Iterable[LearnerEvent], champion: Champion | None = None) -> Made:
    trained = train_model(_log(events), SETTINGS, 1, False, champion=champion)
    return Made(trained, judge(trained.found.tail, champion, trained.duel, trained.absent, force=False))


@pytest.fixture(scope="module")
def champion() -> Champion:
    made = _make(PAST)
    assert made.verdict.publish
    (beside_popular,) = made.verdict.comparisons
    assert beside_popular.low > 0.05
    return Champion("m-1", made.trained.model, PAST[-1].occurred_us, beside_popular.own - beside_popular.other)


def test_clean_events_are_published(champion: Champion, held_out: list[Block]) -> None:
    made = _make(PAST + NEW, champion)
    assert made.verdict.publish and made.trained.duel is not None, made.verdict.reason
    assert made.verdict.champion_metrics["tests"] >= 100
    better = evaluate(_recommender(made.trained.model), held_out)
    assert compare(better.hybrid, better.popular, "popular").low > 0.05


def test_a_log_of_shuffled_courses_makes_nothing_worse_than_popularity(held_out: list[Block]) -> None:
    made = _make(shuffled(PAST + NEW))
    worth = evaluate(_recommender(made.trained.model), held_out)
    assert not made.verdict.publish or compare(worth.hybrid, worth.popular, "popular").high >= 0


def test_shuffled_new_events_do_not_take_a_good_champions_place(champion: Champion, held_out: list[Block]) -> None:
    made = _make(PAST + shuffled(NEW), champion)
    assert not made.verdict.publish
    assert "teach little" in made.verdict.reason or "is below" in made.verdict.reason
    worth = compare(
        served(_recommender(made.trained.model), held_out),
        served(_recommender(champion.model), held_out),
        "m-1",
    )
    assert worth.high < 0, "what was refused does no harm: this test shows nothing"


def test_a_program_of_many_events_changes_little(champion: Champion, held_out: list[Block]) -> None:
    last_s = PRESENT_S - DAY_S
    unknown: list[LearnerEvent] = [enrolled("bot", f"x{i}", last_s + i % DAY_S) for i in range(100_000)]
    known = [enrolled("bot", course.course_id, last_s + i) for i, course in enumerate(COURSES)]
    made = _make([*PAST, *NEW, *unknown, *known], champion)
    assert made.trained.model.course_ids == tuple(course.course_id for course in COURSES)
    assert made.verdict.publish, made.verdict.reason
    worth = served(_recommender(made.trained.model), held_out)
    assert compare(worth, served(_recommender(champion.model), held_out), "m-1").high >= 0


def test_a_learner_adds_so_much_to_targets_and_no_more() -> None:
    log = _log([enrolled("bot", f"c{i:03}", i) for i in range(100)] + PAST[:50])
    interactions = interactions_of(log.events, log.courses)
    capped = cap_targets(interactions, 30)
    bot = capped.user_ids.index("bot")
    assert (capped.learner == bot).sum() == 30
    assert [capped.course_ids[c] for c in capped.course[capped.learner == bot]] == [f"c{i:03}" for i in range(70, 100)]
    assert capped.taken_before().nnz == interactions.taken_before().nnz
    last = np.flatnonzero(capped.learner == bot)[-1]
    assert capped.history_starts[last + 1] - capped.history_starts[last] == NEWEST


def test_a_missing_day_is_no_obstacle(champion: Champion) -> None:
    gap = [event for event in PAST + NEW if not 300 <= (event.occurred_us / 1e6 - START_S) / DAY_S < 301]
    assert len(gap) < len(PAST + NEW)
    made = _make(gap, champion)
    assert made.verdict.publish, made.verdict.reason
