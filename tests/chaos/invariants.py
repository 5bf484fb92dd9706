"""What no answer may show. Pure: an answer, and what was promised before it was asked for -> complaints."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from schemas.topics import LEARNER_EVENTS, Position
from tests.chaos.campus import RETIRED

_LIST_KEYS: Final = {
    "user_id", "strategy", "items", "model_version", "state_version", "generated_at", "age_s", "lag", "degraded",
}  # fmt: skip
_ITEM_KEYS: Final = {"course_id", "title", "score", "reasons"}
_PAGE_KEYS: Final = {"user_id", "courses", "state_version", "degraded"}


@dataclass(frozen=True)
class Promises:
    """What was acknowledged before a request was sent, and still held when its answer came."""

    taken: frozenset[str] = frozenset()
    direct: Mapping[str, int] | None = None
    refused: frozenset[str] = frozenset()

    def hidden(self, state_offset: int) -> set[str]:
        """Return the courses that a list of this state may not show."""
        seen = {course_id for course_id, offset in (self.direct or {}).items() if offset <= state_offset}
        return {*self.taken, *self.refused, *seen}


def state_offset(answer: Mapping[str, Any]) -> int:
    """Return the offset of the learner's last event that an answer includes; -1 if there is none.

    >>> state_offset({"state_version": "activity:3:9,learner-events:3:17"})
    17
    """
    positions = [Position.parse(text) for text in answer["state_version"].split(",") if text]
    return max((one.offset for one in positions if one.topic == LEARNER_EVENTS), default=-1)


def _missing(found: Collection[str], wanted: set[str]) -> list[str]:
    lacking = wanted - set(found)
    return [f"keys {sorted(lacking)} are missing"] if lacking else []


def complaints_of_list(answer: Mapping[str, Any], user_id: str, promises: Promises) -> list[str]:
    """Return what is wrong with a list of recommendations."""
    complaints = _missing(answer, _LIST_KEYS)
    if complaints:
        return complaints
    items = answer["items"]
    for item in items:
        complaints += _missing(item, _ITEM_KEYS)
    courses = [item["course_id"] for item in items]
    if len(set(courses)) < len(courses):
        complaints.append(f"a course twice: {courses}")
    if answer["user_id"] != user_id:
        complaints.append(f"the list of {answer['user_id']}")
    if answer["degraded"]:  # nothing is known of the learner then, and the list says so
        return complaints
    if not items:
        complaints.append("an empty list that does not say that it is degraded")
    if shown := set(RETIRED).intersection(courses):
        complaints.append(f"retired: {sorted(shown)}")
    if shown := promises.hidden(state_offset(answer)).intersection(courses):
        complaints.append(f"taken or refused before: {sorted(shown)}")
    return complaints


def complaints_of_page(answer: Mapping[str, Any], user_id: str, promises: Promises) -> list[str]:
    """Return what is wrong with a learner's page: half a history must say that it is degraded."""
    complaints = _missing(answer, _PAGE_KEYS)
    if complaints or answer["degraded"]:
        return complaints
    courses = {one["course_id"] for one in answer["courses"]}
    if answer["user_id"] != user_id:
        complaints.append(f"the page of {answer['user_id']}")
    if lacking := promises.taken - courses:
        complaints.append(f"acknowledged and not shown: {sorted(lacking)}")
    return complaints


class StateVersions:
    """The newest state that each learner's whole answers have shown; answers are given in the order they came."""

    def __init__(self) -> None:
        self._newest: dict[str, int] = {}

    def complaints(self, user_id: str, answer: Mapping[str, Any]) -> list[str]:
        """Return whether a whole answer shows an older state than one before it; take it in."""
        if answer["degraded"]:
            return []
        offset, newest = state_offset(answer), self._newest.get(user_id, -1)
        self._newest[user_id] = max(offset, newest)
        return [f"the state went back from {newest} to {offset}"] if offset < newest else []
