"""The lists the API answers with: a learner's own, re-sorted, filtered and topped up, with reasons; and shared ones."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypedDict

from api.answers import CourseList, Item, Reason, Recommendations, iso
from api.log_ends import LogEnds
from api.lookup import Lookup
from api.models import ModelLog
from api.problems import not_found, unavailable
from api.shared import SharedCache
from recommender.resort import Filters, reason_of, select
from schemas.candidates import Candidate, CandidateList, unpack_candidates
from schemas.cards import Card

TOP_UPS: Final = {"trending": ("trending", "popular", "latest")}
"""Shared lists that fill a short list, by strategy."""

_TOP_UP: Final = ("popular", "latest")


class Query(NamedTuple):
    """What a reader asks for."""

    limit: int
    filters: Filters
    strategy: str = "hybrid"


class _Made(TypedDict):
    """What a list was made with, and when."""

    model_version: str
    generated_at: str | None
    age_s: float | None


def items_of(
    chosen: Iterable[Candidate], cards: Mapping[str, Card], causes: Sequence[str] = (), found: Lookup | None = None
) -> tuple[Item, ...]:
    """Return candidates as they are answered: with titles and the reason for each."""
    event_ids_of = found.event_ids_of if found else lambda _course_id: []
    titles = {course_id: card.title for course_id, card in cards.items()}
    items = []
    for candidate in chosen:
        why = reason_of(candidate, causes, titles, event_ids_of)
        reason = Reason(why["kind"], why["course_id"], why["text"], tuple(why["event_ids"]))
        title = titles.get(candidate.course_id) or candidate.course_id
        items.append(Item(candidate.course_id, title, round(candidate.score, 6), (reason,)))
    return tuple(items)


def age_s(generated_us: int) -> float:
    """Return how many seconds ago a list was made."""
    return max(round(time.time() - generated_us / 1e6, 3), 0.0)


class Lists:
    """Makes answers from look-ups and shared lists."""

    def __init__(self, shared: SharedCache, models: ModelLog, ends: LogEnds) -> None:
        self._shared = shared
        self._models = models
        self._ends = ends

    async def recommendations(self, user_id: str, found: Lookup | None, query: Query) -> Recommendations:
        """Return a learner's list; without one the popular list.

        `found` is None while Redis is away: then, and while the learner's shard is not whole, the answer is degraded.
        """
        own = unpack_candidates(found.packed_list) if found and found.is_live and found.packed_list else None
        top_up = TOP_UPS.get(query.strategy, _TOP_UP)
        standing = own or self._shared.overall(top_up[0])
        if standing is None and found is None:
            raise unavailable("Redis does not answer, and no list has been seen yet")
        excluded = found.excluded if found else frozenset()
        chosen, cards = await self._choose(own.candidates if own else (), query, excluded, top_up)
        causes = own.causes if own else ()
        cards.update(await self._shared.cards(causes))
        return Recommendations(
            user_id=user_id,
            strategy=query.strategy,
            items=items_of(chosen, cards, causes, found),
            state_version=found.state_version if found else "",
            lag=self._ends.lag(found.shard, found.applied) if found else None,
            degraded=not (found and found.is_live),
            **self._made(standing),
        )

    async def shared(self, kind: str, query: Query) -> CourseList:
        """Return the popular, trending or latest courses."""
        chosen, cards = await self._choose((), query, frozenset(), (kind,))
        made = self._made(self._shared.overall(kind))
        return CourseList(items=items_of(chosen, cards), degraded=not self._shared.is_fresh, **made)

    async def similar(self, course_id: str, limit: int) -> CourseList:
        """Return the courses most like one; the 404 problem for a course nobody knows."""
        listed = await self._shared.similar(course_id)
        if listed is None and await self._shared.card(course_id) is None:
            raise not_found(f"course_id: there is no course {course_id!r}")
        candidates = listed.candidates if listed else ()
        cards = await self._shared.cards(candidate.course_id for candidate in candidates)
        chosen = select(candidates, cards, limit=limit)
        made = self._made(listed)
        return CourseList(course_id=course_id, items=items_of(chosen, cards), degraded=False, **made)

    async def _choose(
        self, listed: Sequence[Candidate], query: Query, excluded: frozenset[str], kinds: Sequence[str]
    ) -> tuple[list[Candidate], dict[str, Card]]:
        """Return the candidates to show, and cards; shared lists are looked at only if the own list is short."""
        cards = await self._shared.cards(candidate.course_id for candidate in listed)
        limit, filters, strategy = query
        chosen = select(listed, cards, limit=limit, filters=filters, strategy=strategy, excluded=excluded)
        if len(chosen) < limit:
            top_up = list(self._shared.candidates(kinds, filters))
            cards.update(await self._shared.cards(candidate.course_id for candidate in top_up))
            seen = excluded | {candidate.course_id for candidate in chosen}
            chosen += select((), cards, limit=limit - len(chosen), filters=filters, excluded=seen, top_up=top_up)
        return chosen, cards

    def _made(self, standing: CandidateList | None) -> _Made:
        if standing is None:
            return _Made(model_version="", generated_at=None, age_s=None)
        return _Made(
            model_version=self._models.version_of(standing.version.model_epoch),
            generated_at=iso(standing.generated_us),
            age_s=age_s(standing.generated_us),
        )
