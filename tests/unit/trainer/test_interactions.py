import random
from typing import cast

import numpy as np

from recommender.tower import encode
from schemas.events import LearnerEvent, Rated, convert_event
from tests.unit.trainer.campus import START_S, checkerboard, enrolled, log_of
from trainer.histories import histories_of
from trainer.interactions import interactions_of, is_target, replay


def _random_events(seed: int) -> list[LearnerEvent]:
    """Return events of two learners over few courses and few moments, so that registers and ties meet."""
    rng = random.Random(seed)
    events = []
    for number in range(60):
        kind = rng.choice(["enrolled", "enrolled", "dropped", "progressed", "rated", "feedback"])
        value = {
            "progressed": rng.random(),
            "rated": rng.randint(1, 5),
            "feedback": rng.choice(["not_for_me", "useful", "none"]),
        }.get(kind)
        body = {
            "type": kind,
            "event_id": f"e{number}",
            "user_id": rng.choice(["a", "b"]),
            "course_id": f"c{rng.randrange(9)}",
            "occurred_at": START_S + rng.randrange(40),
            "value": value,
        }
        events.append(cast("LearnerEvent", convert_event(body)))
    return events


def test_a_history_is_what_the_recommender_would_have_seen_just_before() -> None:
    for seed in range(20):
        log = log_of(_random_events(seed))
        found = interactions_of(log.events)
        index_of = {course_id: i for i, course_id in enumerate(found.course_ids)}
        row = 0
        for user_id in found.user_ids:
            for event, state in replay(one for one in log.events if one.user_id == user_id):
                if not is_target(event, state):
                    continue
                expected = encode([state.learner()], index_of)
                got = histories_of(found, np.array([row]))
                assert got.courses.tolist() == expected.courses.tolist()
                assert got.weights.tolist() == expected.weights.tolist()
                assert found.course_ids[found.course[row]] == event.course_id
                row += 1
        assert row == len(found) > 0


def test_the_state_before_an_enrolment_does_not_contain_it() -> None:
    found = interactions_of(log_of(checkerboard(learners=10)).events)
    for row in range(len(found)):
        assert found.course[row] not in histories_of(found, np.array([row])).courses


def test_only_the_first_enrolment_of_a_pair_is_a_target() -> None:
    events = [enrolled("u", "c", 0), enrolled("u", "d", 1), enrolled("u", "c", 2), enrolled("v", "c", 3)]
    found = interactions_of(log_of(events).events)
    assert [(found.user_ids[u], found.course_ids[c]) for u, c in zip(found.learner, found.course, strict=True)] == [
        ("u", "c"),
        ("u", "d"),
        ("v", "c"),
    ]


def test_an_enrolment_in_a_course_already_rated_is_none() -> None:
    rated = Rated(event_id="r", user_id="u", course_id="c", occurred_at=START_S, value=4)
    found = interactions_of(log_of([rated, enrolled("u", "c", 5)]).events)
    assert len(found) == 0
    assert found.taken_before().toarray().tolist() == [[True]]


def test_what_was_taken_before_a_moment_knows_nothing_later() -> None:
    found = interactions_of(log_of([enrolled("u", "c", 0), enrolled("u", "d", 10)]).events, ["e"])
    moment_us = (START_S + 10) * 1_000_000
    assert found.course_ids == ("c", "d", "e")
    assert found.taken_before(moment_us).toarray().tolist() == [[True, False, False]]
    assert found.before(moment_us).tolist() == [0]
