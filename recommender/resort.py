"""What a reader does with a list that stands in Redis: re-sort for a strategy, filter, top up, name the reason.

Imported by the API: no NumPy, no FAISS, no SciPy.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, TypedDict

from schemas.candidates import COMPONENTS, Candidate, Source
from schemas.cards import Card

STRATEGIES: Final = ("hybrid", "collaborative", "content", "popular", "trending")
ITEM_ITEM_WEIGHT: Final = 0.5
"""What item-item counts beside NeuMF in the strategy `collaborative`, both z-scored."""

_COLUMN: Final = {name: column for column, name in enumerate(COMPONENTS)}


@dataclass(frozen=True)
class Filters:
    """What a reader wants to see; empty: anything. Compared without regard to case."""

    language: str = ""
    level: str = ""
    category: str = ""

    def accept(self, card: Card | None) -> bool:
        """Return whether a course may be shown; one without a card is known by nothing but its id.

        >>> Filters(level="Beginner").accept(Card("c", level="beginner"))
        True
        """
        if card is None:
            return not (self.language or self.level or self.category)
        return not card.retired and all(
            not wanted or wanted.casefold() == found.casefold()
            for wanted, found in (
                (self.language, card.language),
                (self.level, card.level),
                (self.category, card.category),
            )
        )


ANYTHING: Final = Filters()


class Reason(TypedDict):
    """Why a course is recommended."""

    kind: str
    course_id: str | None
    text: str
    event_ids: list[str]


def _z_scores(values: Sequence[float]) -> list[float]:
    mean = sum(values) / len(values)
    spread = (sum((value - mean) ** 2 for value in values) / len(values)) ** 0.5
    return [(value - mean) / spread if spread > 1e-9 else 0.0 for value in values]


def scores_of(candidates: Sequence[Candidate], strategy: str) -> list[float]:
    """Return each candidate's score under a strategy; ValueError for one that does not exist."""
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy {strategy!r} is none of {', '.join(STRATEGIES)}")
    if strategy == "hybrid" or not candidates:
        return [candidate.score for candidate in candidates]
    own = [candidate.components[_COLUMN[strategy]] for candidate in candidates]
    if strategy != "collaborative":
        return own
    item_item = _z_scores([candidate.components[_COLUMN["item_item"]] for candidate in candidates])
    return [a + ITEM_ITEM_WEIGHT * b for a, b in zip(_z_scores(own), item_item, strict=True)]


def resort(candidates: Sequence[Candidate], strategy: str) -> list[Candidate]:
    """Return the candidates best first under a strategy, with its scores; ties keep the order of the list."""
    scores = scores_of(candidates, strategy)
    if strategy == "hybrid":
        return list(candidates)
    order = sorted(range(len(scores)), key=lambda place: -scores[place])
    return [candidates[place]._replace(score=scores[place]) for place in order]


def select(
    listed: Sequence[Candidate],
    cards: Mapping[str, Card],
    *,
    limit: int,
    strategy: str = "hybrid",
    filters: Filters = ANYTHING,
    excluded: AbstractSet[str] = frozenset(),
    top_up: Iterable[Candidate] = (),
) -> list[Candidate]:
    """Return at most `limit` candidates of a list under a strategy, topped up from a shared list.

    Parameters
    ----------
    listed : the learner's own list, best first
    cards : cards by course; retired courses are left out
    excluded : what the learner has taken, is about to take, or refused
    top_up : the popular list of the facet asked for, used when the own list is short
    """
    chosen: list[Candidate] = []
    seen = set(excluded)
    own = resort(listed, strategy)
    for candidates in (own, top_up):
        for candidate in candidates:
            if len(chosen) == limit:
                return chosen
            if candidate.course_id not in seen and filters.accept(cards.get(candidate.course_id)):
                seen.add(candidate.course_id)
                chosen.append(candidate)
    return chosen


_TEXTS: Final = {
    Source.COLLABORATIVE: "Chosen by learners with a history like yours",
    Source.CONTENT: "Close to what you have shown interest in",
    Source.POPULAR: "Popular with learners",
    Source.TRENDING: "Trending in the last 30 days",
    Source.NEW: "New in the catalogue",
    Source.INTERESTS: "Matches your interests",
}


def reason_of(
    candidate: Candidate,
    causes: Sequence[str],
    titles: Mapping[str, str],
    event_ids_of: Callable[[str], list[str]] = lambda _course_id: [],
) -> Reason:
    """Return why a candidate stands in the list.

    `titles` by course, its id where there is none; `event_ids_of` the events that put a course into the history.

    >>> row = Candidate("c2", 1.0, (0.0,) * 5, Source.COLLABORATIVE, 0)
    >>> reason_of(row, ["c1"], {"c1": "Excel Basics"})["text"]
    'Because you took Excel Basics'
    """
    kind = candidate.source.name.lower()
    if candidate.cause is None or candidate.cause >= len(causes):
        return Reason(kind=kind, course_id=None, text=_TEXTS[candidate.source], event_ids=[])
    cause = causes[candidate.cause]
    text = f"Because you took {titles.get(cause) or cause}"
    return Reason(kind=kind, course_id=cause, text=text, event_ids=event_ids_of(cause))
