"""What an experiment learns from the stream: whose enrolments count, and what is a hit in which arm."""

from pathlib import Path
from typing import Any

import pytest

from adapters.experiments import ExperimentCounts
from schemas.candidates import Strategy
from schemas.control import encode_control
from schemas.events import ActivityEvent, Clicked, Enrolled, Erased, Shown, Viewed
from schemas.experiments import Arm, Experiment, ExperimentEnded, ExperimentStarted, arm_of
from stream.activity import ActivityUpdate
from stream.merge import FirstEnrolments, LearnerUpdate
from stream.trials import Trial, Trials, is_hit
from tests.unit.stream.test_quality import LISTED, packed
from tests.unit.stream.test_serving import House

BEGAN_S = 1_000


class Counted(ExperimentCounts):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.added: list[tuple[str, dict[str, Any]]] = []
        self.forgotten: list[str] = []

    def add(self, experiment: Experiment, user_id: str, **deeds: Any) -> None:
        """Keep what a learner did."""
        self.added.append((user_id, deeds))

    def forget(self, user_id: str) -> None:
        """Keep who was erased."""
        self.forgotten.append(user_id)


@pytest.fixture
async def house(tmp_path: Path) -> House:
    """A live model: c05 and c06 are popular, and c06 has a trend."""
    house = House(tmp_path)
    await house.promote(1)
    house.room.take_counts({"c05": {10: 9}, "c06": {10: 1, 100: 3}})
    return house


def trials_of(house: House, *strategies: Strategy) -> tuple[Trials, Counted]:
    """Start an experiment between strategies at `BEGAN_S`."""
    counted = Counted()
    if strategies:
        share = 1 / len(strategies)
        arms = tuple(Arm(name=one, strategy=one, share=share) for one in strategies)
        raw = encode_control(ExperimentStarted(name="x", salt="s", arms=arms))
        house.control.state = house.control.state.apply(raw, 77, BEGAN_S * 1_000)
    return Trials(house.control, counted), counted


def in_arm(house: House, arm: str) -> str:
    """Return a learner of an arm."""
    experiment = house.control.state.experiment
    assert experiment
    return next(user for i in range(99) if arm_of(user := f"u{i}", experiment).name == arm)


def enrolled(user_id: str, **seconds: int) -> LearnerUpdate:
    """Return an update with enrolments at these seconds."""
    update = LearnerUpdate()
    for course_id, second in seconds.items():
        event = Enrolled(event_id=course_id, user_id=user_id, course_id=course_id, occurred_at=second)
        update.take(event, 0, 10**9)
    return update


def firsts(user_id: str, *course_ids: str, taken: tuple[str, ...] = (), is_listed: bool = True) -> FirstEnrolments:
    """Return first enrolments of who has the list, or none."""
    return FirstEnrolments(user_id, packed(LISTED) if is_listed else None, frozenset(taken), course_ids)


def test_without_an_experiment_nothing_is_tried(house: House) -> None:
    trials, counted = trials_of(house)
    assert trials.trial_of(firsts("u", "c01"), enrolled("u", c01=BEGAN_S)) is None
    trials.take_clicks({"u": activity(Clicked(event_id="e", user_id="u", course_id="c", occurred_at=BEGAN_S))})
    assert counted.added == []


def test_what_happened_before_the_experiment_is_not_tried(house: House) -> None:
    trials, _ = trials_of(house, "hybrid", "popular")
    experiment = house.control.state.experiment
    assert experiment
    found = trials.trial_of(firsts("u", "c01", "c02"), enrolled("u", c01=BEGAN_S - 1, c02=BEGAN_S))
    assert found == Trial(experiment, ("c02",))
    assert trials.trial_of(firsts("u", "c01"), enrolled("u", c01=BEGAN_S - 1)) is None
    assert trials.trial_of(firsts("u", "c01", taken=("c01",)), enrolled("u", c01=BEGAN_S)) is None


@pytest.mark.parametrize(
    ("strategy", "hits"),
    [
        ("hybrid", {"c00": True, "c09": True, "c10": False, "c59": False, "nowhere": False}),
        ("content", {"c00": False, "c50": True, "c59": True, "nowhere": False}),
        ("popular", {"c05": True, "c06": True, "c00": False, "nowhere": False}),
        ("trending", {"c06": True, "c00": False}),
    ],
)
def test_a_hit_is_what_stood_in_the_first_places_of_the_arms_list(
    house: House, strategy: str, hits: dict[str, bool]
) -> None:
    recommender = house.current.recommender
    assert {name: is_hit(firsts("u", name), name, strategy, recommender) for name in hits} == hits


def test_what_was_taken_holds_no_place_and_who_has_no_list_is_no_test(house: House) -> None:
    recommender = house.current.recommender
    assert is_hit(firsts("u", "c10", taken=("c00",)), "c10", "hybrid", recommender)
    assert is_hit(firsts("u", "c03", "c10"), "c10", "hybrid", recommender)
    assert is_hit(firsts("u", "c05", is_listed=False), "c05", "popular", recommender) is None


def test_the_first_enrolment_is_the_test_under_the_strategy_of_the_arm(house: House) -> None:
    trials, counted = trials_of(house, "hybrid", "content")
    for arm, hit in (("hybrid", True), ("content", False)):
        user_id = in_arm(house, arm)
        found = firsts(user_id, "c55", "c02", "c58")
        trial = trials.trial_of(found, enrolled(user_id, c55=1, c02=BEGAN_S, c58=BEGAN_S))
        assert trial
        trials.judge(trial, found, house.current.recommender)
        assert counted.added.pop() == (user_id, {"enrolments": 2, "hit": hit})


def activity(*events: ActivityEvent) -> ActivityUpdate:
    """Return joined activity."""
    update = ActivityUpdate()
    for offset, event in enumerate(events):
        update.take(event, offset)
    return update


def test_clicks_since_the_experiment_began_are_counted(house: House) -> None:
    trials, counted = trials_of(house, "hybrid", "popular")
    about: dict[str, Any] = {"event_id": "e", "user_id": "u"}
    trials.take_clicks(
        {
            "u": activity(
                Clicked(course_id="c1", occurred_at=BEGAN_S, **about),
                Clicked(course_id="c2", occurred_at=BEGAN_S + 5, **about),
                Clicked(course_id="c3", occurred_at=BEGAN_S - 1, **about),
                Shown(course_id="c4", occurred_at=BEGAN_S, **about),
                Viewed(course_id="c5", occurred_at=BEGAN_S, **about),
            ),
            "v": activity(Viewed(course_id="c5", occurred_at=BEGAN_S, **about)),
        }
    )
    assert counted.added == [("u", {"clicks": 2})]
    house.decide(ExperimentEnded(name="x"))
    trials.take_clicks({"u": activity(Clicked(course_id="c1", occurred_at=BEGAN_S, **about))})
    assert len(counted.added) == 1


def test_who_is_erased_is_forgotten(house: House) -> None:
    trials, counted = trials_of(house, "hybrid", "popular")
    erased = LearnerUpdate()
    erased.take(Erased(event_id="e", user_id="u", occurred_at=5), 3, 10**9)
    trials.forget({"u": erased, "v": enrolled("v", c01=5)})
    assert counted.forgotten == ["u"]
