"""Moving events in time."""

import time

from cli.import_ import _shifted_to_now
from schemas.events import Enrolled


def test_events_move_together_and_keep_their_ids() -> None:
    events = [Enrolled(event_id=f"e{at}", user_id="u", course_id="c", occurred_at=at) for at in (0, 7, 10.5)]
    moved = _shifted_to_now(events)
    assert abs(moved[-1].occurred_us / 1e6 - time.time()) < 5
    assert [one.occurred_us - moved[0].occurred_us for one in moved] == [0, 7_000_000, 10_500_000]
    assert [one.event_id for one in moved] == ["e0", "e7", "e10.5"]


def test_nothing_moves_to_nothing() -> None:
    assert _shifted_to_now([]) == []
