"""The arms of a simulation: who is in which, how they are scored, and in what order they end."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

import pytest

from cli.arms import ARMS, BUCKET_S, WINDOW, Scores, Tally, arm_of
from datasets.campus import Campus
from datasets.campus_courses import CampusCourse
from datasets.campus_learners import CampusLearner
from datasets.campus_life import Life, complete, history, profiles
from recommender.fold import FoldedLearner
from recommender.popularity import popularity_of
from recommender.recommend import Recommender, prepare
from recommender.resort import resort
from schemas.events import LEARNER_EVENTS, AnyEvent, Enrolled, LearnerEvent
from tests.campus_folder import DAY_ZERO
from trainer.log import snapshot
from trainer.pipeline import train_model
from trainer.settings import TrainerSettings

SETTINGS: Final = TrainerSettings(train_dimensions=16, train_epochs=8, evaluate_tests=200)
VISITS: Final = 450
LISTED: Final = 10
MARGIN: Final = 0.06
DAY_US: Final = 86_400_000_000


class Classroom:
    """A campus and the recommender in memory: the log, each learner's state, lists as the stream would make them."""

    def __init__(self, seed: int) -> None:
        self.campus = Campus(120, 300, seed)
        self.life = Life(self.campus)
        self.log: list[LearnerEvent] = []
        self.states: defaultdict[str, FoldedLearner] = defaultdict(FoldedLearner)
        self.take([*profiles(self.campus, DAY_ZERO), *history(self.life, 4_000, DAY_ZERO)])
        self.courses = {one.course_id: one.published(DAY_ZERO) for one in self.campus.active(0.0)}
        pairs = [(event, event.occurred_us // 1_000) for event in self.log]
        trained = train_model(snapshot(pairs, self.courses, {"learner-events": [len(pairs)]}), SETTINGS, 1, False)
        self.prepared = prepare(trained.model)

    def take(self, events: Sequence[AnyEvent]) -> None:
        """Append events to the log and to their learners' states."""
        for event in events:
            if isinstance(event, LEARNER_EVENTS):
                self.log.append(event)
                self.states[event.user_id].apply(event, event.occurred_us // 1_000)

    def recommender(self) -> Recommender:
        """Return the recommender with the popularity of now."""
        counts: defaultdict[str, Counter[int]] = defaultdict(Counter)
        for event in self.log:
            if isinstance(event, Enrolled):
                counts[event.course_id][event.occurred_us // DAY_US] += 1
        return Recommender(self.prepared, self.courses, popularity_of(counts))


def compare(room: Classroom) -> dict[str, Tally]:
    """Let each visitor decide before all three lists; what happens is what the arm of the learner brought."""
    draw, tallies = room.campus.draw("live"), {arm: Tally() for arm in ARMS}
    recommender = room.recommender()
    for visit in range(VISITS):
        day = visit / 50
        while due := room.life.due(day):
            happen(room, *due, visit, day)
        learner = room.life.somebody(draw)
        lists = lists_of(room, recommender, learner, draw.sample, day)
        past = room.life.past(learner.user_id)
        oracle = room.campus.oracle(learner, past, day)
        for arm, listed in lists.items():
            looked = room.life.visitor(learner, day, draw).look_down(listed)
            assert looked.satisfaction <= oracle
            tallies[arm].add(looked.satisfaction, oracle)
            if arm == arm_of(learner.user_id):
                own = looked
        room.life.expect(learner.user_id, own, day, draw)
        for body in own.bodies:
            happen(room, learner.user_id, body, visit, day)
    return tallies


def happen(room: Classroom, user_id: str, body: dict[str, object], number: int, day: float) -> None:
    """Let an event happen."""
    room.life.happened(user_id, body)
    room.take([complete(body, user_id, f"live {number} {body.get('course_id')}", DAY_ZERO + timedelta(days=day))])


def lists_of(
    room: Classroom,
    recommender: Recommender,
    learner: CampusLearner,
    sample: Callable[[Sequence[CampusCourse], int], list[CampusCourse]],
    day: float,
) -> dict[str, list[CampusCourse]]:
    """Return each arm's list, as the API would serve it."""
    (made,) = recommender.recommend([room.states[learner.user_id].learner()], 96)
    served = {arm: [one.course_id for one in resort(made.candidates, arm)[:LISTED]] for arm in ("hybrid", "popular")}
    lists = {arm: [room.campus.courses[one] for one in ids] for arm, ids in served.items()}
    choices = room.campus.choices(room.life.past(learner.user_id), day)
    return {**lists, "random": sample(choices, LISTED)}


def test_learners_are_served_best_by_the_hybrid_list_then_by_the_popular_one_then_by_chance() -> None:
    shares = {arm: tally.share or 0.0 for arm, tally in compare(Classroom(seed=3)).items()}
    assert shares["hybrid"] > shares["popular"] + MARGIN, shares
    assert shares["popular"] > shares["random"] + MARGIN, shares
    assert shares["hybrid"] < 1.0


def test_arms_are_thirds_that_do_not_change() -> None:
    arms = [arm_of(f"learner-{number:04d}") for number in range(3_000)]
    assert arms == [arm_of(f"learner-{number:04d}") for number in range(3_000)]
    assert all(900 < number < 1_100 for number in Counter(arms).values())
    assert set(arms) == set(ARMS)


def test_a_share_is_of_the_best_within_reach_and_nothing_chosen_counts_as_nothing() -> None:
    scores = Scores()
    scores.add("hybrid", 0.0, 0.4, 0.8)
    scores.add("hybrid", 1.0, 0.0, 0.8)
    assert scores.total("hybrid") == Tally(2, 0.4, 1.6)
    answer = scores.answer()
    wanted = {"share": 0.25, "recent_share": 0.25, "decisions": 2, "satisfaction": 0.2, "oracle": 0.8}
    assert answer["hybrid"] == wanted
    assert answer["random"]["share"] is None and answer["random"]["decisions"] == 0


def test_the_window_slides() -> None:
    scores = Scores()
    scores.add("popular", 0.0, 0.1, 1.0)
    scores.add("popular", BUCKET_S * WINDOW, 0.9, 1.0)
    assert scores.recent("popular").share == pytest.approx(0.9)
    assert scores.total("popular").share == pytest.approx(0.5)
    course = scores.course("popular")
    assert len(course) == WINDOW + 1
    assert course[0] == course[WINDOW - 1] == pytest.approx(0.1)
    scores.reach(BUCKET_S * (3 * WINDOW))
    assert scores.course("popular")[-1] is None
