"""What learners' state must be, said as plainly as possible: the model that merge, replay and lists are tested against.

It knows nothing of runs, packing, joining or Redis. A learner's state is a set of cells; each cell holds the greatest
of all writes to it that no erasure covers, and everything else is a function of the cells.
"""

import hashlib
import json
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from schemas import events
from schemas.ids import event_uuid

DAY_US = 86_400_000_000
SKEW_MS = 300_000

Cell = tuple[int, int, bytes, bytes]
"""(occurred_us, type rank, event id, content): tuples compare as writers do, the greater one is the later."""


@dataclass(frozen=True)
class Logged:
    """An event, and when the log took it in, in ms."""

    event: events.LearnerEvent
    appended_ms: int


@dataclass
class ReferenceLearner:
    """One learner: course -> kind -> cell, course -> cell, kind -> cell."""

    courses: dict[str, dict[str, Cell]] = field(default_factory=dict)
    feedback: dict[str, Cell] = field(default_factory=dict)
    profile: dict[str, Cell] = field(default_factory=dict)
    erased_through_us: int = 0

    @property
    def taken(self) -> set[str]:
        """Courses never recommended again: the learner did anything there; feedback alone is no doing."""
        return set(self.courses)


def _text(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value


def _score(event: events.Rated | events.Graded) -> bytes:
    return struct.pack(">fff", event.value, *event.bounds())


def writes(event: events.LearnerEvent) -> dict[str, tuple[int, bytes]]:
    """Return what an event writes: kind of cell -> (type rank, content)."""
    match event:
        case events.Enrolled():
            return {"enrolment": (1, b"")}
        case events.Dropped():
            return {"enrolment": (2, b"")}
        case events.Progressed():
            return {"progress": (3, struct.pack(">f", event.value))}
        case events.Completed():
            return {"completed": (4, b"")}
        case events.Rated():
            review = {} if event.review is None else {"review": (6, _text(event.review.encode()))}
            return {"rating": (5, _score(event)), **review}
        case events.Graded():
            return {"grade": (7, _score(event))}
        case events.Feedback():
            return {"feedback": (8, bytes([["none", "not_for_me", "useful"].index(event.value)]))}
        case events.ProfileUpdated():
            named = {"interests": 9, "goals": 10, "languages": 11, "level": 12}
            given = {name: getattr(event, name) for name in named}
            texts = {
                name: json.dumps(value, ensure_ascii=False, separators=(",", ":")) for name, value in given.items()
            }
            return {name: (named[name], _text(texts[name].encode())) for name in named if given[name] is not None}
        case _:
            return {}


def learner(log: Sequence[Logged], user_id: str) -> ReferenceLearner:
    """Return the state of one learner after these events, in whatever order."""
    own = [entry for entry in log if entry.event.user_id == user_id]
    erasures = [(entry.appended_ms + SKEW_MS) * 1_000 for entry in own if isinstance(entry.event, events.Erased)]
    state = ReferenceLearner(erased_through_us=max(erasures, default=0))
    for event in (entry.event for entry in own if not erasures or entry.event.occurred_us > max(erasures)):
        for kind, (rank, content) in writes(event).items():
            cell = (event.occurred_us, rank, event_uuid(event.event_id), content)
            if isinstance(event, events.ProfileUpdated):
                cells, name = state.profile, kind
            elif isinstance(event, events.Feedback):
                cells, name = state.feedback, event.course_id
            elif isinstance(event, events.CourseEvent):
                cells, name = state.courses.setdefault(event.course_id, {}), kind
            cells[name] = max(cells.get(name, cell), cell)
    return state


def learners(log: Sequence[Logged]) -> dict[str, ReferenceLearner]:
    """Return the state of every learner who has any."""
    states = {user_id: learner(log, user_id) for user_id in {entry.event.user_id for entry in log}}
    return {user_id: state for user_id, state in states.items() if state != ReferenceLearner()}


def enrolled(state: ReferenceLearner) -> dict[str, int]:
    """Return the courses whose last word is an enrolment, each with its day."""
    last_words = {course: cells["enrolment"] for course, cells in state.courses.items() if "enrolment" in cells}
    return {course: cell[0] // DAY_US for course, cell in last_words.items() if cell[1] == 1}


def counts(log: Sequence[Logged]) -> dict[tuple[str, int], int]:
    """Return current enrolments by course and day."""
    return dict(Counter(pair for state in learners(log).values() for pair in enrolled(state).items()))


def _register(cell: Cell) -> bytes:
    occurred_us, rank, event_id, content = cell
    return (occurred_us * 16 + rank).to_bytes(8, "big") + event_id + content


def _section(cells: dict[bytes, bytes]) -> bytes:
    parts = [part for key in sorted(cells) for part in (key, cells[key])]
    return len(cells).to_bytes(4, "big") + b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _dump(user_id: str, state: ReferenceLearner) -> bytes:
    user = user_id.encode()
    records = {
        course.encode(): b"".join(_register(cell) for cell in sorted(cells.values(), key=lambda cell: cell[1]))
        for course, cells in state.courses.items()
    }
    feedback = {course.encode(): _register(cell) for course, cell in state.feedback.items()}
    profile = {bytes([cell[1]]): _register(cell) for cell in state.profile.values()}
    head = len(user).to_bytes(4, "big") + user + state.erased_through_us.to_bytes(8, "big")
    return head + _section(records) + _section(feedback) + _section(profile)


def digest(log: Sequence[Logged]) -> str:
    """Return the digest that the state after these events must have."""
    leaves = sorted(hashlib.sha256(_dump(user_id, state)).digest() for user_id, state in learners(log).items())
    return hashlib.sha256(b"".join(leaves)).hexdigest()


def first_enrolments(before: Sequence[Logged], after: Sequence[Logged]) -> dict[str, set[str]]:
    """Return by learner the courses that are enrolled now and whose enrolment nothing was known of before."""
    firsts = {}
    for user_id, state in learners(after).items():
        known = {course for course, cells in learner(before, user_id).courses.items() if "enrolment" in cells}
        firsts[user_id] = set(enrolled(state)) - known
    return {user_id: courses for user_id, courses in firsts.items() if courses}
