import random

from schemas.courses import Course
from schemas.events import Erased, LearnerEvent
from tests.unit.trainer.campus import START_S, checkerboard, enrolled, log_of
from trainer.log import snapshot


def _erased(user_id: str, second: int) -> Erased:
    return Erased(event_id=f"erase {user_id} {second}", user_id=user_id, occurred_at=START_S + second)


def test_shuffled_and_repeated_events_make_the_same_log() -> None:
    events = checkerboard(learners=10)
    shuffled = events + events[:20]
    random.Random(1).shuffle(shuffled)
    one, other = log_of(events), log_of(shuffled)
    assert one.digest == other.digest
    assert one.events == other.events


def test_one_event_or_one_course_more_is_another_log() -> None:
    events = checkerboard(learners=10)
    digests = {log_of(events).digest, log_of(events[1:]).digest, log_of(events, [Course(course_id="c")]).digest}
    assert len(digests) == 3


def test_an_erased_learner_is_out_whatever_came_first() -> None:
    events: list[LearnerEvent] = [enrolled("gone", "c", 0), enrolled("stays", "c", 0), _erased("gone", 10)]
    for order in (events, events[::-1]):
        assert [event.user_id for event in log_of(order).events] == ["stays"]


def test_an_erasure_reaches_as_far_as_clocks_may_differ_and_no_further() -> None:
    append_ms = (START_S + 10) * 1_000
    pairs: list[tuple[LearnerEvent, int]] = [
        (_erased("u", 10), append_ms),
        (enrolled("u", "within", 310), append_ms),
        (enrolled("u", "after", 311), append_ms + 400_000),
    ]
    assert [getattr(event, "course_id", "") for event in snapshot(pairs, {}, {}).events] == ["after"]
