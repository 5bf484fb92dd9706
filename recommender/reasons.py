"""The reason that stands beside a course in a list: its kind, its text, and the course and events that caused it.

Imported by the API: no NumPy, no FAISS, no SciPy.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypedDict

from schemas.candidates import COMPONENTS, Candidate, Source


class Reason(TypedDict):
    """Why a course is recommended."""

    kind: str
    course_id: str | None
    text: str
    event_ids: list[str]


_TEXTS: Final = {
    Source.COLLABORATIVE: "Chosen by learners with a history like yours",
    Source.CONTENT: "Close to what you have shown interest in",
    Source.POPULAR: "Popular with learners",
    Source.TRENDING: "Trending in the last 30 days",
    Source.NEW: "New in the catalogue",
    Source.INTERESTS: "Matches your interests",
}
_UNTAKEN: Final = "Nobody has taken it yet"
_POPULAR: Final = COMPONENTS.index("popular")


def reason_of(
    candidate: Candidate,
    causes: Sequence[str],
    titles: Mapping[str, str],
    event_ids_of: Callable[[str], list[str]],
    among: str = "",
) -> Reason:
    """Return why a candidate stands in the list.

    Parameters
    ----------
    causes : courses of the history, which `candidate.cause` counts
    titles : by course; its id is shown where there is none
    event_ids_of : the events that put a course into the history; none of a course that no longer counts, which is
        not named then: the list may be older than a drop or an erasure
    among : among which courses a popular one is popular, as in "in Design"

    >>> row = Candidate("c2", 1.0, (0.0,) * 5, Source.COLLABORATIVE, 0)
    >>> reason_of(row, ["c1"], {"c1": "Excel Basics"}, lambda course_id: ["e1"])["text"]
    'Because you took Excel Basics'
    """
    source = candidate.source
    cause = causes[candidate.cause] if candidate.cause is not None and candidate.cause < len(causes) else None
    event_ids = event_ids_of(cause) if cause is not None else []
    if cause is not None and event_ids:
        text = f"Because you took {titles.get(cause) or cause}"
        return Reason(kind=source.name.lower(), course_id=cause, text=text, event_ids=event_ids)
    text = _TEXTS[source]
    if source == Source.POPULAR:
        text = _UNTAKEN if candidate.components[_POPULAR] <= 0 else f"Popular {among}" if among else text
    return Reason(kind=source.name.lower(), course_id=None, text=text, event_ids=[])
