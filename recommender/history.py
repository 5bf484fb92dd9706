"""A learner as the recommender sees one: a weighted history, what was refused, a profile, weak signals.

`learner_of` reads the packed registers as they stand in Redis (or in `recommender/fold.py`), so that training,
evaluation, replay and serving see the same history.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Final, NamedTuple

import msgspec

from schemas.activity import CLICKED, SEARCHES, VIEWED, unpack_moment, unpack_searches
from schemas.registers import (
    ENROLMENT,
    FEEDBACK_CODES,
    STAMP_BYTES,
    Rank,
    register_bytes,
    unpack_fraction,
    unpack_score,
    unpack_stamp,
    unpack_text,
)

MAX_SIGNALS: Final = 20
"""Only the newest so many viewed or clicked courses count."""

_NOT_FOR_ME: Final = FEEDBACK_CODES["not_for_me"]
_USEFUL: Final = FEEDBACK_CODES["useful"]
_DROPPED, _PROGRESSED, _COMPLETED = int(Rank.DROPPED), int(Rank.PROGRESSED), int(Rank.COMPLETED)
_SCORED: Final = (int(Rank.RATED), int(Rank.GRADED))
_REGISTER_BYTES: Final = {int(rank): register_bytes(rank, b"") for rank in (*Rank,)[: Rank.RATED]}
_PLACE: Final = itemgetter(2, 3, 0)
"""An entry's place in the history: occurred_us, event id, course."""

_words: Final = msgspec.json.Decoder(tuple[str, ...])
_word: Final = msgspec.json.Decoder(str)


@dataclass(frozen=True)
class Weights:
    """What an event adds to the weight of its course in the history.

    A course that was taken starts with `enrolled` (or `dropped`); progress, completion, rating, grade and feedback are
    added to it. A rating or grade adds between `score_low` (bottom of its scale) and `score_high` (top).
    """

    enrolled: float = 1.0
    dropped: float = 0.1
    progressed: float = 0.25
    completed: float = 0.5
    score_low: float = -1.5
    score_high: float = 0.5
    not_for_me: float = -0.5
    useful: float = 0.25
    viewed: float = 0.1
    clicked: float = 0.2


WEIGHTS: Final = Weights()


class Entry(NamedTuple):
    """A course of the history: its weight, when it came in, and the event that put it there (16 bytes)."""

    course_id: str
    weight: float
    occurred_us: int
    event_id: bytes


@dataclass(frozen=True)
class Profile:
    """What a learner says of himself."""

    interests: tuple[str, ...] = ()
    goals: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    level: str = ""


@dataclass(frozen=True)
class Learner:
    """All that a list is made from. `entries`: oldest first, one a course; `signals`: newest first.

    `user_id` may stay empty: lists follow from what was done, not from who did it.
    """

    entries: tuple[Entry, ...] = ()
    taken: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    profile: Profile = field(default_factory=Profile)
    signals: tuple[tuple[str, float], ...] = ()
    queries: tuple[str, ...] = ()
    user_id: str = field(default="", compare=False)


def scale_place(register: bytes) -> float:
    """Return where a rating or grade lies on its scale, 0 (lowest) to 1 (highest)."""
    value, low, high = unpack_score(register)
    return min(max((value - low) / (high - low), 0.0), 1.0) if high > low else 0.5


def record_of(packed: bytes, weights: Weights = WEIGHTS) -> tuple[float, int, bytes]:
    """Return weight, occurred_us and event id of a course from its packed record.

    The last two are the enrolment's, else the earliest register's. Reads in place: this runs for every course of every
    learner whose list is made.

    >>> from schemas.registers import pack_stamp
    >>> record_of(pack_stamp(1, Rank.ENROLLED, "e") + pack_stamp(2, Rank.COMPLETED, "f"))[:2]
    (1.5, 1)
    """
    stamp, weight, adds, at = packed[:STAMP_BYTES], weights.enrolled, 0.0, 0
    enrolled = stamp[7] & 15 <= _DROPPED  # registers stand in the order of their kinds
    while at < len(packed):
        rank = packed[at + 7] & 15
        if rank == _DROPPED:
            weight = weights.dropped
        elif rank == _PROGRESSED:
            adds = weights.progressed * _fraction_of(packed[at + STAMP_BYTES : at + STAMP_BYTES + 4])
        elif rank == _COMPLETED:
            adds = weights.completed
        elif rank in _SCORED:
            place = scale_place(packed[at : at + STAMP_BYTES + 12])
            weight, adds = weight + adds + weights.score_low + (weights.score_high - weights.score_low) * place, 0.0
        if not enrolled:
            stamp = min(stamp, packed[at : at + STAMP_BYTES])
        at += _REGISTER_BYTES.get(rank) or register_bytes(rank, packed, at)
    return weight + adds, int.from_bytes(stamp[:8], "big") >> 4, stamp[8:]


@lru_cache(4_096)
def _fraction_of(value: bytes) -> float:
    return unpack_fraction(bytes(STAMP_BYTES) + value)


def record_stamp(registers: Mapping[int, bytes]) -> tuple[int, bytes]:
    """Return (occurred_us, event id) that place a record in the history: its enrolment's, else its earliest."""
    register = registers.get(ENROLMENT) or min(registers.values())
    return int.from_bytes(register[:8], "big") >> 4, register[8:STAMP_BYTES]


def _feedback_weight(register: bytes, weights: Weights) -> float:
    code = register[STAMP_BYTES]
    return weights.not_for_me if code == _NOT_FOR_ME else weights.useful if code == _USEFUL else 0.0


def _entries(
    records: Mapping[str, bytes], opinions: Mapping[str, tuple[float, bytes]], weights: Weights
) -> tuple[Entry, ...]:
    entries = []
    for course_id, packed in records.items():
        weight, occurred_us, event_id = record_of(packed, weights)
        if course_id in opinions:
            weight += opinions[course_id][0]
        entries.append(Entry(course_id, weight, occurred_us, event_id))
    for course_id, (weight, register) in opinions.items():
        if course_id not in records:
            stamp = unpack_stamp(register)
            entries.append(Entry(course_id, weight, stamp.occurred_us, stamp.event_id))
    entries.sort(key=_PLACE)
    return tuple(entries)


def _signals(activity: Mapping[str, bytes], taken: Iterable[str], weights: Weights) -> tuple[tuple[str, float], ...]:
    newest: dict[str, tuple[int, float]] = {}
    for name, packed in activity.items():
        prefix, course_id = name[:2], name[2:]
        if prefix in (VIEWED, CLICKED):
            moment, weight = newest.get(course_id, (0, 0.0))
            own = weights.clicked if prefix == CLICKED else weights.viewed
            newest[course_id] = (max(moment, unpack_moment(packed)), max(weight, own))
    for course_id in taken:
        newest.pop(course_id, None)
    ordered = sorted(newest.items(), key=lambda item: (-item[1][0], item[0]))
    return tuple((course_id, weight) for course_id, (_, weight) in ordered[:MAX_SIGNALS])


def profile_of(registers: Mapping[int, bytes]) -> Profile:
    """Return the profile that packed registers hold, by kind."""

    def words(kind: Rank) -> tuple[str, ...]:
        return _words.decode(unpack_text(registers[kind])) if kind in registers else ()

    level = _word.decode(unpack_text(registers[Rank.LEVEL])) if Rank.LEVEL in registers else ""
    return Profile(words(Rank.INTERESTS), words(Rank.GOALS), words(Rank.LANGUAGES), level)


def learner_of(
    records: Mapping[str, bytes],
    feedback: Mapping[str, bytes] | None = None,
    profile: Mapping[int, bytes] | None = None,
    activity: Mapping[str, bytes] | None = None,
    weights: Weights = WEIGHTS,
) -> Learner:
    """Return the learner that packed state describes.

    Parameters
    ----------
    records : course -> record, as in the history's hash without its header
    feedback : course -> feedback register
    profile : kind (`Rank`) -> register
    activity : the activity hash as it stands, `v:COURSE`, `c:COURSE`, `q`
    """
    opinions, refused = {}, set()
    for course_id, register in (feedback or {}).items():
        weight = _feedback_weight(register, weights)
        if weight:
            opinions[course_id] = (weight, register)
        if register[STAMP_BYTES] == _NOT_FOR_ME:
            refused.add(course_id)
    soft = activity or {}
    known = {course_id: packed for course_id, packed in records.items() if packed}
    return Learner(
        entries=_entries(known, opinions, weights),
        taken=frozenset(known),
        refused=frozenset(refused),
        profile=profile_of(profile or {}),
        signals=_signals(soft, known.keys() | opinions.keys(), weights),
        queries=tuple(query for _, query in unpack_searches(soft.get(SEARCHES, b""))),
    )
