"""What was sent, what was acknowledged and where it stands: on disk, and folded into what readers may rely on."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from schemas.events import ACTIVITY_EVENTS
from tests.chaos.campus import Body
from tests.chaos.journal import Journal

TAKING: Final = frozenset({"enrolled", "dropped", "progressed", "completed", "rated", "graded"})
"""Types of events that take a course: it is never recommended again."""
SOFT: Final = frozenset(one.type_name for one in ACTIVITY_EVENTS)


@dataclass
class _Word:
    """A learner's feedback on a course, and whether it was acknowledged."""

    at: datetime
    value: str
    acked: bool = False


@dataclass
class Promised:
    """What acknowledgements promise of one learner. `direct`: course -> offset of who published straight to Kafka."""

    taken: set[str] = field(default_factory=set)
    direct: dict[str, int] = field(default_factory=dict)
    words: dict[str, dict[str, _Word]] = field(default_factory=lambda: defaultdict(dict))
    is_erased: bool = False

    def refused(self) -> set[str]:
        """Return the courses whose last word, all words being acknowledged, is "not for me"."""
        return {
            course_id
            for course_id, words in self.words.items()
            if all(word.acked for word in words.values())
            and max(words.values(), key=lambda word: word.at).value == "not_for_me"
        }


class Record:
    """All events of a run. A line is written before what it tells of is sent or relied on."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.bodies: dict[str, Body] = {}
        self.acked: list[str] = []
        self._is_acked: set[str] = set()
        self.promised: dict[str, Promised] = defaultdict(Promised)
        self.drawn = 0
        for line in journal.read():
            self._fold(line)

    @property
    def unknown(self) -> list[Body]:
        """Events that were sent and are not acknowledged: they may or may not stand in the log."""
        return [body for event_id, body in self.bodies.items() if event_id not in self._is_acked]

    @property
    def acked_hard(self) -> list[Body]:
        """Acknowledged events that the guarantees speak of."""
        bodies = (self.bodies[event_id] for event_id in self.acked)
        return [body for body in bodies if body["type"] not in SOFT]

    def sent(self, bodies: Sequence[Body], drawn: int = 0) -> None:
        """Note what is about to be sent; `drawn`: how many events were drawn from the campus so far, if it tells."""
        self._write({"sent": list(bodies), **({"drawn": drawn} if drawn else {})})

    def acknowledged(self, bodies: Sequence[Body], offset: int = -1) -> None:
        """Note an acknowledgement; `offset` is given if the event was published straight to Kafka."""
        self._write({"acked": [body["event_id"] for body in bodies], **({"offset": offset} if offset >= 0 else {})})

    def _write(self, line: dict[str, Any]) -> None:
        self._journal.write(line)
        self._fold(line)

    def _fold(self, line: dict[str, Any]) -> None:
        self.drawn = max(self.drawn, line.get("drawn", 0))
        for body in line.get("sent", ()):
            if body["event_id"] not in self.bodies:
                self.bodies[body["event_id"]] = body
                self._expect(body)
        for event_id in line.get("acked", ()):
            if event_id not in self._is_acked:
                self._is_acked.add(event_id)
                self.acked.append(event_id)
            self._promise(self.bodies[event_id], line.get("offset", -1))

    def _expect(self, body: Body) -> None:
        """Take in what may be true from the moment of sending on."""
        learner = self.promised[body["user_id"]]
        if body["type"] == "erased":
            learner.is_erased = True
        if body["type"] == "feedback":
            at = datetime.fromisoformat(body["occurred_at"])
            learner.words[body["course_id"]][body["event_id"]] = _Word(at, body["value"])

    def _promise(self, body: Body, offset: int) -> None:
        """Take in what is true from the acknowledgement on."""
        learner, course_id = self.promised[body["user_id"]], body.get("course_id", "")
        if body["type"] == "feedback":
            learner.words[course_id][body["event_id"]].acked |= offset < 0
        elif body["type"] in TAKING and offset < 0:
            learner.taken.add(course_id)
        elif body["type"] in TAKING:
            learner.direct[course_id] = min(offset, learner.direct.get(course_id, offset))
