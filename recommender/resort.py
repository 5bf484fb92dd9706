"""What a reader does with a list that stands in Redis: re-sort for a strategy, filter, give a place to a new course.

Imported by the API: no NumPy, no FAISS, no SciPy.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, TypeVar

from schemas.candidates import COMPONENTS, STRATEGIES, Candidate, Source
from schemas.cards import Card

ITEM_ITEM_WEIGHT: Final = 0.5
"""What item-item counts beside NeuMF in the strategy `collaborative`, both z-scored."""

EXPLORATION: Final = 1 / 20
"""Share of the places that go to new courses: the last one of ten, in every second list."""

_COLUMN: Final = {name: column for column, name in enumerate(COMPONENTS)}
_POPULAR: Final = _COLUMN["popular"]


@dataclass(frozen=True)
class Filters:
    """What a reader wants to see; empty: anything. Compared without regard to case.

    `completed`: only courses all of whose prerequisites are among these; None: whatever their prerequisites.
    """

    language: str = ""
    level: str = ""
    category: str = ""
    completed: AbstractSet[str] | None = None

    @property
    def facets(self) -> dict[str, str]:
        """Values wanted, by the name of their field, the narrowest first.

        >>> Filters(language="en", category="Design").facets
        {'category': 'Design', 'language': 'en'}
        """
        named = {"category": self.category, "level": self.level, "language": self.language}
        return {name: value for name, value in named.items() if value}

    def accept(self, card: Card | None) -> bool:
        """Return whether a course may be shown; one without a card is known by nothing but its id.

        >>> Filters(level="Beginner").accept(Card("c", level="beginner"))
        True
        >>> Filters(completed={"a"}).accept(Card("c", prerequisites=("a", "b")))
        False
        """
        if card is None:
            return self == ANYTHING
        return (
            not card.retired
            and all(getattr(card, name).casefold() == value.casefold() for name, value in self.facets.items())
            and (self.completed is None or set(card.prerequisites) <= self.completed)
        )


ANYTHING: Final = Filters()


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


def _unheard(candidates: Sequence[Candidate]) -> list[bool]:
    """Return of which candidates the model says nothing: it has them at the least logit, and nothing of item-item."""
    logits = [candidate.components[_COLUMN["collaborative"]] for candidate in candidates]
    item_item = [candidate.components[_COLUMN["item_item"]] for candidate in candidates]
    least, step = min(logits), (max(item_item) - min(item_item)) / 255  # what a packed component is rounded to
    return [
        candidate.source == Source.NEW or (logit == least and abs(neighbourly) <= step)
        for candidate, logit, neighbourly in zip(candidates, logits, item_item, strict=True)
    ]


def resort(candidates: Sequence[Candidate], strategy: str) -> list[Candidate]:
    """Return the candidates best first under a strategy, with its scores and its reasons; ties keep their order.

    A course that the strategy cannot speak of comes last: one unknown to the model under `collaborative`.
    """
    scores = scores_of(candidates, strategy)
    if strategy == "hybrid" or not candidates:
        return list(candidates)
    last = _unheard(candidates) if strategy == "collaborative" else [False] * len(candidates)
    found = [
        one._replace(score=score) if unheard else _under(strategy, one, score)
        for one, score, unheard in zip(candidates, scores, last, strict=True)
    ]
    ties = [one.components[_POPULAR] if strategy == "trending" else 0.0 for one in found]
    order = sorted(range(len(found)), key=lambda place: (last[place], -scores[place], -ties[place]))
    return [found[place] for place in order]


def _under(strategy: str, candidate: Candidate, score: float) -> Candidate:
    """Return the candidate as a strategy puts it: with its score, and by the source that the strategy goes by."""
    source, cause = candidate.source, candidate.cause
    if strategy in ("popular", "trending"):
        source, cause = (Source.TRENDING if strategy == "trending" and score > 0 else Source.POPULAR), None
    elif strategy == "collaborative":
        source = Source.COLLABORATIVE
    elif score > 0 and source != Source.INTERESTS:
        source = Source.CONTENT
    return candidate._replace(score=score, source=source, cause=cause)


def by_popularity(own: Sequence[Candidate], shared: Iterable[Candidate], strategy: str) -> list[Candidate]:
    """Return what is most popular (or trending) of all: the shared list, and with it what else the own list holds."""
    fresh = {candidate.course_id: candidate for candidate in shared}
    rest = [candidate for candidate in resort(own, strategy) if candidate.course_id not in fresh]
    return sorted([*fresh.values(), *rest], key=lambda one: (-one.score, -one.components[_POPULAR]))


def allowed(
    candidates: Iterable[Candidate], cards: Mapping[str, Card], filters: Filters, excluded: AbstractSet[str]
) -> Iterator[Candidate]:
    """Yield the candidates that may be shown, each course once.

    Parameters
    ----------
    cards : cards by course; retired courses are left out
    excluded : what the learner has taken, is about to take, or refused; or what is shown already
    """
    seen = set(excluded)
    for candidate in candidates:
        course_id = candidate.course_id
        if course_id not in seen and filters.accept(cards.get(course_id)):
            seen.add(course_id)
            yield candidate


def places_to_explore(chosen: int, draw: int) -> int:
    """Return how many of so many places go to new courses, by 64 random bits; never the first one.

    >>> places_to_explore(10, 0), places_to_explore(10, 2**63), places_to_explore(1, 2**63)
    (0, 1, 0)
    """
    return min(int(chosen * EXPLORATION + draw / 2**64), chosen - 1)


T = TypeVar("T")


def explore(chosen: Sequence[Candidate], rest: Iterable[Candidate], draw: int) -> list[Candidate]:
    """Return the chosen with a share of `EXPLORATION` of the places, the last ones, given to new courses of the rest.

    Never the first place; without new courses nothing changes. `draw`, 64 random bits, decides whether a part of a
    place is one, and for which course.
    """
    places = places_to_explore(len(chosen), draw)
    if places < 1:
        return list(chosen)
    last = chosen[-places:]
    new = [one for one in (*last, *rest) if one.source == Source.NEW]
    return [*chosen[:-places], *give_away(last, new, draw)]


def give_away(last: Sequence[T], new: Sequence[T], draw: int) -> list[T]:
    """Return the last places once new courses, of these places or behind them, have as many as they fill."""
    places = min(len(last), len(new))
    picked = [new[at] for at in sorted((draw + place) % len(new) for place in range(places))]
    kept = [one for one in last if one not in picked]
    return [*kept[: len(last) - places], *picked]
