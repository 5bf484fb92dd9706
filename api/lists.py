"""The lists the API answers with: a learner's own, re-sorted, filtered and topped up, with reasons; and shared ones."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final, NamedTuple, TypedDict
from zlib import crc32

from adapters.follow import ControlLog
from api.answers import CourseList, Item, Reason, Recommendations, iso
from api.log_ends import LogEnds
from api.lookup import Lookup
from api.problems import not_found, unavailable
from api.shared import KINDS, SharedCache
from recommender.diversity import diversify
from recommender.reasons import reason_of
from recommender.resort import ANYTHING, Filters, allowed, by_popularity, explore, resort
from schemas.candidates import Candidate, CandidateList, Version, pack_version, unpack_candidates
from schemas.cards import Card
from schemas.experiments import arm_of

TOP_UPS: Final = ("popular", "latest")
"""Shared lists that fill a short list."""
COLD: Final = "cold"
"""The shared list for a learner without one of his own."""
DEFAULT: Final = "hybrid"
"""What lists are sorted by."""


class Query(NamedTuple):
    """What a reader asks for. `strategy`, if he names none: that of his arm in an experiment, else `DEFAULT`."""

    limit: int
    filters: Filters = ANYTHING
    strategy: str = ""
    prerequisites_met: bool = False
    diversity: float = 0.0
    explore: bool = True


class Choice(NamedTuple):
    """A candidate that is shown; `topped_up`: from a shared list, since the own one ran short."""

    candidate: Candidate
    topped_up: bool = False


class Made(TypedDict):
    """What a list was made with, and when."""

    model_version: str
    generated_at: str | None
    age_s: float | None


def _among(card: Card | None, filters: Filters) -> str:
    """Return among which courses one of a facet's list is popular, in the words of its card.

    >>> _among(Card("c", category="Design"), Filters(category="design"))
    'in Design'
    """
    facet = next(iter(filters.facets), "")
    value = getattr(card, facet) if card and facet else ""
    return "" if not value else f"at level {value}" if facet == "level" else f"in {value}"


def items_of(
    chosen: Iterable[Choice],
    cards: Mapping[str, Card],
    filters: Filters = ANYTHING,
    causes: Sequence[str] = (),
    event_ids_of: Callable[[str], list[str]] = lambda _course_id: [],
) -> tuple[Item, ...]:
    """Return courses as they are answered: with titles and the reason for each."""
    titles = {course_id: card.title for course_id, card in cards.items()}
    items = []
    for candidate, topped_up in chosen:
        course_id = candidate.course_id
        among = _among(cards.get(course_id), filters) if topped_up else ""
        why = reason_of(candidate, causes, titles, event_ids_of, among)
        reason = Reason(why["kind"], why["course_id"], why["text"], tuple(why["event_ids"]))
        title = titles.get(course_id) or course_id
        items.append(Item(course_id, title, round(candidate.score, 6), (reason,), topped_up))
    return tuple(items)


def draw_of(user_id: str, version: Version) -> int:
    """Return 64 bits that look random, the same for a learner as long as the list is of the same version."""
    return draw_of_packed(user_id, pack_version(version))


def draw_of_packed(user_id: str, version: bytes) -> int:
    """Return `draw_of` of a packed version: a checksum, its bits spread by 2**64 over the golden ratio."""
    return crc32(user_id.encode(), crc32(version)) * 0x9E3779B97F4A7C15 % 2**64


def spread(candidates: Iterator[Candidate], cards: Mapping[str, Card], query: Query) -> Iterator[Candidate]:
    """Yield the candidates as the diversity that is asked for orders them."""
    if query.diversity <= 0:
        return candidates
    listed = list(candidates)
    known = (cards.get(candidate.course_id) for candidate in listed)
    sketches = [card.sketch if card else b"" for card in known]
    return iter(diversify(listed, sketches, query.limit, query.diversity))


def age_s(generated_us: int) -> float:
    """Return how many seconds ago a list was made."""
    return max(int(time.time() * 1_000) - generated_us // 1_000, 0) / 1_000


class Lists:
    """Makes answers from look-ups and shared lists."""

    def __init__(self, shared: SharedCache, control: ControlLog, ends: LogEnds) -> None:
        self._shared = shared
        self._control = control
        self._ends = ends

    async def recommendations(self, user_id: str, found: Lookup | None, query: Query) -> Recommendations:
        """Return a learner's list; without one what is popular.

        `found` is None while Redis is away: then, and while the learner's shard is not whole, the answer is degraded.
        """
        experiment = None if query.strategy else self._control.state.experiment
        arm = arm_of(user_id, experiment) if experiment else None
        query = query._replace(strategy=query.strategy or (arm.strategy if arm else DEFAULT))
        own = unpack_candidates(found.packed_list) if found and found.is_whole and found.packed_list else None
        kinds = (query.strategy,) if query.strategy in KINDS else (COLD, "popular")
        standing = own or next(filter(None, map(self._shared.overall, kinds)), None)
        if standing is None and found is None:
            raise unavailable("Redis does not answer, and no list has been seen yet")
        if query.prerequisites_met:
            completed = found.completed if found else frozenset()
            query = query._replace(filters=replace(query.filters, completed=completed))
        chosen, cards = await self._choose(user_id, own, found.excluded if found else frozenset(), query)
        causes = own.causes if own else ()
        cards.update(await self._shared.cards(causes))
        return Recommendations(
            user_id=user_id,
            strategy=query.strategy,
            experiment=experiment.record.name if experiment else None,
            arm=arm.name if arm else None,
            items=items_of(chosen, cards, query.filters, causes, found.event_ids_of if found else lambda _: []),
            state_version=found.state_version if found else "",
            lag=self._ends.lag(found.shard, found.applied) if found else None,
            degraded=not (found and found.is_whole),
            **self._made(standing, user_id),
        )

    async def shared(self, kind: str, query: Query) -> CourseList:
        """Return the popular, trending or latest courses."""
        chosen, cards = await self._allowed(list(self._shared.candidates((kind,), query.filters)), query.filters)
        choices = [Choice(candidate) for candidate in islice(chosen, query.limit)]
        made = self._made(self._shared.overall(kind))
        return CourseList(items=items_of(choices, cards), degraded=not self._shared.is_fresh, **made)

    async def similar(self, course_id: str, limit: int) -> CourseList:
        """Return the courses most like one; the 404 problem for a course nobody knows."""
        listed = await self._shared.similar(course_id)
        if listed is None and await self._shared.card(course_id) is None:
            raise not_found(f"course_id: there is no course {course_id!r}")
        chosen, cards = await self._allowed(listed.candidates if listed else (), ANYTHING)
        choices = [Choice(candidate) for candidate in islice(chosen, limit)]
        return CourseList(course_id=course_id, items=items_of(choices, cards), degraded=False, **self._made(listed))

    async def _allowed(
        self, candidates: Sequence[Candidate], filters: Filters, excluded: frozenset[str] = frozenset()
    ) -> tuple[Iterator[Candidate], dict[str, Card]]:
        """Return which of the candidates may be shown, and the cards of all."""
        cards = await self._shared.cards(candidate.course_id for candidate in candidates)
        return allowed(candidates, cards, filters, excluded), cards

    def _sorted(self, own: CandidateList | None, query: Query) -> list[Candidate]:
        """Return the own list as the strategy sorts it; what is most popular is not in the own list alone."""
        listed, strategy = own.candidates if own else (), query.strategy
        if strategy in KINDS:
            return by_popularity(listed, self._shared.candidates((strategy,), query.filters), strategy)
        return resort(listed, strategy)

    async def _choose(
        self, user_id: str, own: CandidateList | None, excluded: frozenset[str], query: Query
    ) -> tuple[list[Choice], dict[str, Card]]:
        """Return what to show, and cards; shared lists fill up what the own list leaves."""
        limit, filters = query.limit, query.filters
        left, cards = await self._allowed(self._sorted(own, query), filters, excluded)
        left = spread(left, cards, query)
        chosen = list(islice(left, limit))
        if own and query.explore and query.strategy == DEFAULT and len(chosen) == limit:
            chosen = explore(chosen, left, draw_of(user_id, own.version))
        choices = [Choice(candidate) for candidate in chosen]
        if len(choices) < limit:
            seen = excluded | {candidate.course_id for candidate in chosen}
            kinds = TOP_UPS if own or query.strategy != DEFAULT else (COLD, *TOP_UPS)
            more, found = await self._allowed(list(self._shared.candidates(kinds, filters)), filters, seen)
            choices += [Choice(candidate, topped_up=True) for candidate in islice(more, limit - len(choices))]
            cards.update(found)
        return choices, cards

    def _made(self, standing: CandidateList | None, user_id: str = "") -> Made:
        if standing is None:
            return Made(model_version="", generated_at=None, age_s=None)
        return self.made(standing.version.model_epoch, standing.generated_us, user_id)

    def made(self, model_epoch: int, generated_us: int, user_id: str) -> Made:
        """Return what a list of this epoch was made with, and when."""
        return Made(
            model_version=self._control.state.version_of(model_epoch, user_id),
            generated_at=iso(generated_us),
            age_s=age_s(generated_us),
        )
