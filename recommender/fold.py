"""Events become registers here, and nowhere else; and learners are folded in memory from the log.

Folding is a join: idempotent and free of order. The trainer, the evaluator and `state digest --as-of` use it; the
stream merges the same registers on the server.
"""

import hashlib
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from recommender.history import Learner, learner_of
from schemas.events import (
    MAX_CLOCK_SKEW_S,
    Completed,
    CourseEvent,
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
from schemas.registers import (
    FEEDBACK_CODES,
    PROFILE_RANKS,
    Rank,
    join_record,
    kind_of,
    pack_fraction,
    pack_score,
    pack_stamp,
    pack_text,
    split_record,
    unpack_stamp,
)

Update = tuple[str | None, bytes]
"""(course id, or None for the learner's profile; packed register). `kind_of(register)` tells which cell it is."""

_LENGTH: Final = struct.Struct(">I")
_ERASED: Final = struct.Struct(">Q")


def erased_through_us(appended_ms: int) -> int:
    """Return the moment up to which an erasure appended at `appended_ms` deletes."""
    return (appended_ms + MAX_CLOCK_SKEW_S * 1_000) * 1_000


Cells = Sequence[tuple[int, bytes]]
"""(rank, value) of registers."""


def _of_profile(event: ProfileUpdated) -> Cells:
    given = {rank: getattr(event, name) for name, rank in PROFILE_RANKS.items()}
    return [(rank, pack_text(msgspec.json.encode(value))) for rank, value in given.items() if value is not None]


def _of_progress(event: Progressed) -> Cells:
    return ((_PROGRESSED, pack_fraction(event.value)),)


def _of_rating(event: Rated) -> Cells:
    review = () if event.review is None else ((Rank.REVIEWED, pack_text(event.review.encode())),)
    return ((Rank.RATED, pack_score(event.value, *event.bounds())), *review)


def _of_grade(event: Graded) -> Cells:
    return ((Rank.GRADED, pack_score(event.value, *event.bounds())),)


def _of_feedback(event: Feedback) -> Cells:
    return ((Rank.FEEDBACK, bytes([FEEDBACK_CODES[event.value]])),)


_PROGRESSED: Final = int(Rank.PROGRESSED)
_MARKS: Final[dict[type, Cells]] = {
    Enrolled: ((int(Rank.ENROLLED), b""),),
    Dropped: ((int(Rank.DROPPED), b""),),
    Completed: ((int(Rank.COMPLETED), b""),),
    Erased: (),
}
"""Of events that say nothing but that they happened."""
_VALUES: Final[dict[type, Callable[[Any], Cells]]] = {
    Progressed: _of_progress,
    Rated: _of_rating,
    Graded: _of_grade,
    Feedback: _of_feedback,
    ProfileUpdated: _of_profile,
}


def updates(event: LearnerEvent) -> list[Update]:
    """Return the registers an event writes; none for an erasure, which is a threshold and no register.

    By tables: this runs for every event of every replay.

    >>> [course_id for course_id, _ in updates(Enrolled(event_id="e", user_id="u", course_id="c", occurred_at=1))]
    ['c']
    """
    kind = type(event)
    cells = _MARKS[kind] if kind in _MARKS else _VALUES[kind](event)
    course_id = event.course_id if isinstance(event, CourseEvent) else None
    occurred_us, event_id = event.occurred_us, event.event_id
    return [(course_id, pack_stamp(occurred_us, rank, event_id) + value) for rank, value in cells]


def _survivors(record: bytes, threshold_us: int) -> bytes:
    registers = split_record(record)
    return b"".join(registers[kind] for kind in sorted(registers) if _later(registers[kind], threshold_us))


def _later(register: bytes, threshold_us: int) -> bool:
    return unpack_stamp(register).occurred_us > threshold_us


@dataclass
class FoldedLearner:
    """One learner's packed state in memory: what the hashes in Redis hold."""

    records: dict[str, bytes] = field(default_factory=dict)
    feedback: dict[str, bytes] = field(default_factory=dict)
    profile: dict[int, bytes] = field(default_factory=dict)
    erased_through_us: int = 0

    def apply(self, event: LearnerEvent, appended_ms: int) -> None:
        """Join one event; in any order and any number of times to the same end."""
        if isinstance(event, Erased):
            self.erase(erased_through_us(appended_ms))
        elif self.erased_through_us == 0 or event.occurred_us > self.erased_through_us:
            for course_id, register in updates(event):
                self.join(course_id, register)

    def join(self, course_id: str | None, register: bytes) -> None:
        """Join one register, whatever the erasure threshold is."""
        kind = kind_of(register)
        if course_id is None:
            self.profile[kind] = max(self.profile.get(kind, b""), register)
        elif kind == Rank.FEEDBACK:
            self.feedback[course_id] = max(self.feedback.get(course_id, b""), register)
        else:
            self.records[course_id] = join_record(self.records.get(course_id, b""), {kind: register})

    def erase(self, through_us: int) -> None:
        """Delete what is stamped at or before `through_us`, now and in future."""
        self.erased_through_us = through = max(self.erased_through_us, through_us)
        records = {course_id: _survivors(packed, through) for course_id, packed in self.records.items()}
        self.records = {course_id: packed for course_id, packed in records.items() if packed}
        self.feedback = {key: value for key, value in self.feedback.items() if _later(value, through)}
        self.profile = {key: value for key, value in self.profile.items() if _later(value, through)}

    def learner(self) -> Learner:
        """Return the learner as the recommender sees one, without activity."""
        return learner_of(self.records, self.feedback, self.profile)

    def dump(self, user_id: str) -> bytes:
        """Return the canonical bytes of this learner's state; see `dump_learner`."""
        return dump_learner(user_id, self.records, self.feedback, self.profile, self.erased_through_us)


def _sized(value: bytes) -> bytes:
    return _LENGTH.pack(len(value)) + value


def _section(cells: Mapping[bytes, bytes]) -> bytes:
    return _LENGTH.pack(len(cells)) + b"".join(_sized(key) + _sized(cells[key]) for key in sorted(cells))


def dump_learner(
    user_id: str,
    records: Mapping[str, bytes],
    feedback: Mapping[str, bytes],
    profile: Mapping[int, bytes],
    erased_through_us: int,
) -> bytes:
    """Return the canonical bytes of a learner's state, empty if there is none: equal bytes mean equal state.

    User id, then the threshold of erasure, then three sections (records, feedback, profile): number of cells, and each
    cell's key and value by ascending key. Lengths are u32, the threshold u64, big-endian.
    """
    if not (records or feedback or profile or erased_through_us):
        return b""
    return b"".join(
        (
            _sized(user_id.encode()),
            _ERASED.pack(erased_through_us),
            _section({key.encode(): value for key, value in records.items()}),
            _section({key.encode(): value for key, value in feedback.items()}),
            _section({bytes([kind]): value for kind, value in profile.items()}),
        )
    )


@dataclass
class StateDigest:
    """The digest of all learners' state, whatever order they come in: SHA-256 over the sorted SHA-256 of the dumps."""

    records: int = 0
    _leaves: list[bytes] = field(default_factory=list)

    def add(
        self,
        user_id: str,
        records: Mapping[str, bytes],
        feedback: Mapping[str, bytes],
        profile: Mapping[int, bytes],
        erased_through_us: int,
    ) -> None:
        """Take in one learner; one without any state does not count."""
        dump = dump_learner(user_id, records, feedback, profile, erased_through_us)
        if dump:
            self._leaves.append(hashlib.sha256(dump).digest())
            self.records += len(records)

    def merge(self, other: "StateDigest") -> None:
        """Take in all learners of another digest, such as another shard's."""
        self._leaves += other._leaves
        self.records += other.records

    @property
    def learners(self) -> int:
        """Number of learners taken in."""
        return len(self._leaves)

    def hexdigest(self) -> str:
        """Return the digest, 64 hex digits."""
        return hashlib.sha256(b"".join(sorted(self._leaves))).hexdigest()


@dataclass
class Fold:
    """All learners of a log, folded in memory."""

    learners: dict[str, FoldedLearner] = field(default_factory=dict)

    def apply(self, event: LearnerEvent, appended_ms: int) -> None:
        """Join one event into its learner's state."""
        self.learners.setdefault(event.user_id, FoldedLearner()).apply(event, appended_ms)

    def digest(self) -> StateDigest:
        """Return the digest of what was folded so far."""
        digest = StateDigest()
        for user_id, one in self.learners.items():
            digest.add(user_id, one.records, one.feedback, one.profile, one.erased_through_us)
        return digest
