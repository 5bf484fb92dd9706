"""The lives of a shard that hypothesis draws: a log with records that are none, and what befalls workers and server."""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from aiokafka import ConsumerRecord
from hypothesis import settings
from hypothesis import strategies as st

from schemas.control import ControlState
from schemas.events import Enrolled, Viewed, encode_event
from schemas.topics import LEARNER_EVENTS
from tests.reference import SKEW_MS, Logged
from tests.shard_state import record_of
from tests.strategies import batches

NO_EVENTS: Final = (
    None, b"", b"{", b"[]", b"null", b"\xff\xfe", b'"\xed\xa0\x80"', b"[" * 5_000,
    b'{"type":"enrolled","event_id":"e","user_id":"u1","occurred_at":5}',
    b'{"type":"enrolled","event_id":"e","user_id":"u1","course_id":"c1","occurred_at":5,"schema_version":99}',
    b'{"type":"sneezed","event_id":"e","user_id":"u1","course_id":"c1","occurred_at":5}',
    b'{"type":"progressed","event_id":"e","user_id":"u1","course_id":"c1","occurred_at":5,"value":1.5}',
    encode_event(Viewed(event_id="e", user_id="u1", course_id="c1", occurred_at=5)),
    encode_event(Enrolled(event_id="e", user_id="u1", course_id="c1", occurred_at=SKEW_MS / 1_000 + 1)),
)  # fmt: skip
"""What a record may hold that is no event: cut short, no UTF-8, too deep, of a later version, of another topic, from
the future (these records are appended at moment 0)."""

Line = Logged | bytes | None
"""What a log holds at an offset: an event, or the value of a record that is none."""


class Step(NamedTuple):
    """What happens next: `what`, to which worker, and how much of it."""

    what: Literal[
        "take",
        "fill",
        "restart",
        "empty",
        "lose meta",
        "open slowly",
        "give up",
        "keep copy",
        "put copy back",
    ]
    worker: int
    back: int
    size: int


class Life(NamedTuple):
    """A log, which of its offsets are quarantined, and what befalls those who merge it."""

    log: list[Line]
    quarantined: frozenset[int]
    steps: list[Step]

    @property
    def control(self) -> ControlState:
        """What `control` says while this log is merged."""
        places = frozenset((LEARNER_EVENTS, 0, offset) for offset in self.quarantined)
        return ControlState(partitions=1, quarantined=places)

    @property
    def events(self) -> list[Logged]:
        """What counts: events that are not quarantined."""
        lines = enumerate(self.log)
        return [line for offset, line in lines if isinstance(line, Logged) and offset not in self.quarantined]

    def records(self) -> list[ConsumerRecord]:
        """Return the log as a consumer reads it."""
        return [_record(line, offset) for offset, line in enumerate(self.log)]


def _record(line: Line, offset: int) -> ConsumerRecord:
    if isinstance(line, Logged):
        return record_of(line, offset)
    return ConsumerRecord(
        topic=LEARNER_EVENTS, partition=0, offset=offset, timestamp=0, timestamp_type=1, key=b"u1", value=line,
        checksum=None, serialized_key_size=2, serialized_value_size=len(line or b""), headers=(),
    )  # fmt: skip


_often: Final = ("take", "take", "take", "fill", "fill", "restart")
_seldom: Final = ("empty", "lose meta", "open slowly", "give up", "keep copy", "put copy back")
_steps: Final = st.lists(
    st.builds(Step, st.sampled_from(_often + _seldom), st.integers(0, 1), st.integers(-1, 4), st.integers(1, 8)),
    max_size=25,
)


@st.composite
def _lives_of(draw: st.DrawFn, events: Sequence[Logged]) -> Life:
    """Write events in any order, some twice, among records that are none; draw what befalls their merging."""
    again = draw(st.lists(st.sampled_from(events), max_size=5))
    none = draw(st.lists(st.sampled_from(NO_EVENTS), max_size=4))
    log = draw(st.permutations([*events, *again, *none]))
    quarantined = draw(st.frozensets(st.integers(0, len(log) - 1), max_size=3))
    return Life(log, quarantined, draw(_steps))


lives: Final = batches.flatmap(_lives_of)


def examples(number: int) -> settings:
    """Return how many examples a test draws: `number`, or those of `--hypothesis-profile=long`."""
    usual, drawn = settings.get_profile("coursestream").max_examples, settings().max_examples
    return settings(max_examples=number if drawn == usual else drawn)
