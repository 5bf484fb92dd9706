"""Hypothesis strategies for learners' events: few ids and moments, so that writers meet, and every extreme."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final, NamedTuple, TypeVar

from hypothesis import strategies as st

from schemas.events import (
    Completed,
    Dropped,
    Enrolled,
    Erased,
    Feedback,
    Graded,
    LearnerEvent,
    ProfileUpdated,
    Progressed,
    Rated,
)
from tests.reference import DAY_US, SKEW_MS, Logged

T = TypeVar("T")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NOW_US: Final = 1_700_000_000_000_000
_MIDNIGHT_US: Final = _NOW_US // DAY_US * DAY_US
LAST_US: Final = 4_102_444_799_999_999
"""The last microsecond an event may carry: 2099-12-31."""
LATE_MS: Final = LAST_US // 1_000
"""An append time at which no event lies in the future."""

USERS: Final = ("u1", "ü", "a:b", "{x}", "17", "語" * 85)
COURSES: Final = ("c1", "é:2", "{0}", "007", "1e3", "c" * 255)
EVENT_IDS: Final = (
    "e1", "e2", "00000000-0000-0000-0000-00000000000A", "61000000-0000-0000-0000-000000000000",
    "42000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "{1}",
)  # fmt: skip
MOMENTS: Final = (0, 1, _MIDNIGHT_US - 1, _MIDNIGHT_US, _NOW_US, _NOW_US + 1, _NOW_US + 999, _NOW_US + DAY_US, LAST_US)
WORDS: Final = ((), ("sql",), ("SQL",), ("データ", 'a "b"\\\n'))


def at(moment_us: int) -> datetime:
    """Return the moment as an event carries it."""
    return _EPOCH + timedelta(microseconds=moment_us)


_levels: Final = st.none() | st.sampled_from(("", "beginner"))
_words: Final = st.none() | st.sampled_from(WORDS)


class Pool(NamedTuple):
    """The few ids and moments that the events of one example share."""

    users: tuple[str, ...]
    courses: tuple[str, ...]
    event_ids: tuple[str, ...]
    moments: tuple[int, ...]


def _few(values: Sequence[T], at_most: int) -> st.SearchStrategy[tuple[T, ...]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=at_most, unique=True).map(tuple)


pools: Final = st.builds(Pool, _few(USERS, 3), _few(COURSES, 3), _few(EVENT_IDS, 3), _few(MOMENTS, 4))


def _events(pool: Pool) -> st.SearchStrategy[LearnerEvent]:
    common: dict[str, st.SearchStrategy[Any]] = {
        "event_id": st.sampled_from(pool.event_ids),
        "user_id": st.sampled_from(pool.users),
        "occurred_at": st.sampled_from(pool.moments).map(at),
    }
    about = {**common, "course_id": st.sampled_from(pool.courses)}
    enrolments = (st.builds(Enrolled, **about), st.builds(Dropped, **about))
    reviews = st.none() | st.sampled_from(("", "good", "Good", "👍" * 2_000))
    ratings = st.sampled_from((-5.0, -1.0, 0.1, 5.0))
    return st.one_of(
        *enrolments,
        *enrolments,
        st.builds(Progressed, **about, value=st.sampled_from((0.0, 1e-45, 0.1, 1.0))),
        st.builds(Completed, **about),
        st.builds(Rated, **about, value=ratings, scale=st.just("-5-5"), review=reviews),
        st.builds(Graded, **about, value=st.sampled_from((0.0, 99.9, 100.0))),
        st.builds(Feedback, **about, value=st.sampled_from(("none", "not_for_me", "useful"))),
        st.builds(ProfileUpdated, **common, interests=_words, goals=_words, languages=_words, level=_levels),
    )


def _erasures(pool: Pool) -> st.SearchStrategy[Logged]:
    """Erasures whose threshold lies at a moment that events carry, a millisecond before or after."""

    def erasure(user_id: str, event_id: str, moment_us: int, off_ms: int) -> Logged:
        appended_ms = max(moment_us // 1_000 - SKEW_MS + off_ms, 0)
        return Logged(Erased(event_id=event_id, user_id=user_id, occurred_at=0), appended_ms)

    return st.builds(
        erasure,
        st.sampled_from(pool.users),
        st.sampled_from(pool.event_ids),
        st.sampled_from(pool.moments),
        st.sampled_from((-1, 0, 1)),
    )


@cache
def _entries(pool: Pool) -> st.SearchStrategy[Logged]:
    logged = _events(pool).map(lambda event: Logged(event, LATE_MS))
    return st.integers(0, 7).flatmap(lambda dice: logged if dice else _erasures(pool))


class Scenario(NamedTuple):
    """A partition's log, and the runs of offsets (first, last) it is merged in, which may overlap."""

    log: list[Logged]
    runs: list[tuple[int, int]]


@st.composite
def runs_over(draw: st.DrawFn, length: int) -> list[tuple[int, int]]:
    """Cut offsets 0 to `length` - 1 into runs that leave no gap but may begin before what is merged already."""
    runs, applied = [], -1
    while applied < length - 1:
        first = draw(st.integers(max(0, applied - 4), applied + 1))
        applied = draw(st.integers(applied + 1, length - 1))
        runs.append((first, applied))
    return runs


@st.composite
def shuffled(draw: st.DrawFn, events: list[Logged]) -> Scenario:
    """Write the events to a log in any order, some of them more than once, and cut it into runs."""
    again = draw(st.lists(st.sampled_from(events), max_size=5))
    log = draw(st.permutations(events + again))
    return Scenario(log, draw(runs_over(len(log))))


batches: Final = pools.flatmap(lambda pool: st.lists(_entries(pool), min_size=1, max_size=20))
"""Random events of a few learners, in the order of nothing."""
pairs_of_batches: Final = pools.flatmap(
    lambda pool: st.tuples(*[st.lists(_entries(pool), min_size=1, max_size=12)] * 2)
)
"""Two batches about the same learners and courses."""
scenarios: Final = batches.flatmap(shuffled)
"""One log of random events."""
pairs_of_scenarios: Final = batches.flatmap(lambda events: st.tuples(shuffled(events), shuffled(events)))
"""The same events, logged and cut twice."""
