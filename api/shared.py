"""Shared lists and cards, kept in memory: what stood last is served while Redis is away."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from typing import Any, Final

from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from adapters.redis import Client
from api.fallback import Fallback
from recommender.resort import Filters
from schemas.candidates import Candidate, CandidateList, unpack_candidates
from schemas.cards import Card, unpack_card
from schemas.errors import NotReadyError
from schemas.keys import (
    SHARED_CARDS,
    SHARED_COLD,
    SHARED_LATEST,
    SHARED_META,
    SHARED_POPULAR,
    SHARED_SIMILAR,
    SHARED_TRENDING,
)

logger: Final = logging.getLogger(__name__)

KINDS: Final = {"popular": SHARED_POPULAR, "trending": SHARED_TRENDING, "latest": SHARED_LATEST}
"""Lists that anybody may ask for."""
LISTS: Final = {**KINDS, "cold": SHARED_COLD}
STALE_S: Final = 5.0
OVERALL: Final = ""


def facets_of(filters: Filters) -> list[str]:
    """Return the facets whose lists serve these filters, without regard to case; the list over all courses last.

    >>> facets_of(Filters(language="EN"))
    ['language=en', '']
    """
    return [*(f"{name}={value}".casefold() for name, value in filters.facets.items()), OVERALL]


def _made_from(meta: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Return what lists and cards were made from, without the nonce of who is writing them."""
    return {name: value for name, value in meta.items() if name not in (b"nonce", b"similar")}


class SharedCache:
    """Popular, trending, latest and cold lists by facet, and cards by course, as they stood last."""

    def __init__(
        self,
        client: Client,
        interval_s: float,
        timeout_s: float,
        find_fallback: Callable[[], Awaitable[Fallback | None]],
    ) -> None:
        self._client = client
        self._interval_s = interval_s
        self._timeout_s = timeout_s
        self._find_fallback = find_fallback
        self._fallback: Fallback | None = None
        self._is_away = False
        self._made_from: dict[bytes, bytes] = {}
        self._packed: dict[str, dict[str, list[bytes]]] = {kind: {} for kind in LISTS}
        self._lists: dict[bytes, CandidateList] = {}
        self._cards: dict[str, Card] = {}
        self._seen_at = float("-inf")

    @property
    def is_fresh(self) -> bool:
        """Whether Redis has answered within the last `STALE_S`, and held the shared lists."""
        return time.monotonic() - self._seen_at < STALE_S

    @property
    def known_cards(self) -> Mapping[str, Card]:
        """The cards in memory; another object once they were read anew, before that cards are only added."""
        return self._cards

    def lists(self, kind: str, facet: str) -> list[CandidateList]:
        """Return the lists of a kind for a facet; several if the catalogue spells its value in several ways."""
        if self._fallback and not self._made_from:
            return [self._fallback.listed] if facet == OVERALL else []
        return [self._unpacked(packed) for packed in self._packed[kind].get(facet, [])]

    def overall(self, kind: str) -> CandidateList | None:
        """Return the list of a kind over all courses, or None if none was ever seen."""
        return next(iter(self.lists(kind, OVERALL)), None)

    def candidates(self, kinds: Iterable[str], filters: Filters) -> Iterator[Candidate]:
        """Yield the candidates of one kind of list after the other, best first over the facets asked for."""
        for kind in kinds:
            lists = [listed.candidates for facet in facets_of(filters) for listed in self.lists(kind, facet)]
            yield from merge(*lists, key=lambda candidate: -candidate.score)

    def _unpacked(self, packed: bytes) -> CandidateList:
        known = self._lists.get(packed)
        if known is None:
            known = self._lists[packed] = unpack_candidates(packed)
        return known

    async def cards(self, course_ids: Iterable[str]) -> dict[str, Card]:
        """Return the cards of these courses; unknown courses, and while Redis is away unread ones, are left out."""
        wanted = set(course_ids)
        missing = [course_id for course_id in wanted if course_id not in self._cards]
        if missing and not self._is_away:
            try:
                self._cards.update(await self._read_cards(missing))
            except (RedisError, TimeoutError) as error:
                self._is_away = True  # nobody waits for it until it answers `run`
                logger.warning("cards cannot be read: %r", error)
        return {course_id: self._cards[course_id] for course_id in wanted if course_id in self._cards}

    async def card(self, course_id: str) -> Card | None:
        """Return a course's card, or None for an unknown course. Raises as `_find`."""
        if course_id not in self._cards and (packed := await self._find(SHARED_CARDS, "catalogue_epoch", course_id)):
            self._cards[course_id] = unpack_card(packed)
        return self._cards.get(course_id)

    async def similar(self, course_id: str) -> CandidateList | None:
        """Return the courses most like this one, or None for an unknown course. Raises as `_find`."""
        packed = await self._find(SHARED_SIMILAR, "similar", course_id)
        return unpack_candidates(packed) if packed else None

    async def _find(self, key: str, written: str, course_id: str) -> bytes | None:
        """Return a course's field of a shared hash, None for an unknown course.

        Raises NotReadyError while the hash is not written, as `SHARED_META` tells; RedisError; TimeoutError.
        """
        pipeline = self._client.pipeline(transaction=True)
        pipeline.hget(key, course_id)
        pipeline.hexists(SHARED_META, written)
        async with asyncio.timeout(self._timeout_s):
            packed, is_written = await pipeline.execute()
        if not is_written:
            raise NotReadyError("what is known of the courses is being brought back")
        return bytes(packed) if packed else None

    async def _read_cards(self, course_ids: list[str]) -> dict[str, Card]:
        async with asyncio.timeout(self._timeout_s):
            packed: Any = await self._client.hmget(SHARED_CARDS, course_ids)
        found = zip(course_ids, packed, strict=True)
        return {course_id: unpack_card(one) for course_id, one in found if one}

    async def run(self) -> None:
        """Take in what changed, again and again, for ever."""
        while True:
            try:
                await self.refresh()
            except (RedisError, TimeoutError) as error:
                self._is_away = True
                logger.warning("the shared lists cannot be read: %r", error)
            if not (self._made_from or self._fallback):
                await self._fall_back()
            await asyncio.sleep(self._interval_s)

    async def _fall_back(self) -> None:
        """Find something to show while nothing was ever seen."""
        try:
            self._fallback = await self._find_fallback()
        except (KafkaError, TimeoutError) as error:
            logger.warning("the catalogue cannot be read: %r", error)
        if self._fallback:
            self._cards = {**self._fallback.cards, **self._cards}

    async def refresh(self) -> None:
        """Take in the shared lists if they changed, and forget all cards if the catalogue did."""
        async with asyncio.timeout(self._timeout_s):
            meta: Any = await self._client.hgetall(SHARED_META)
        self._is_away = False
        seen = _made_from(meta)
        if not seen:  # a Redis that lost everything: what stood last is better than nothing
            return
        if seen == self._made_from or await self._take(seen):
            self._seen_at = time.monotonic()

    async def _take(self, seen: dict[bytes, bytes]) -> bool:
        """Take in what stands, unless it is no longer what was seen: emptied, or written anew."""
        pipeline = self._client.pipeline(transaction=True)
        for key in (SHARED_META, *LISTS.values()):
            pipeline.hgetall(key)
        async with asyncio.timeout(self._timeout_s):
            meta, *hashes = await pipeline.execute()
        if _made_from(meta) != seen:
            return False
        self._take_lists(hashes)
        if seen[b"catalogue_epoch"] != self._made_from.get(b"catalogue_epoch"):
            await self._take_cards()
        self._made_from = seen
        return True

    def _take_lists(self, hashes: Sequence[dict[bytes, bytes]]) -> None:
        for kind, packed in zip(LISTS, hashes, strict=True):
            facets: dict[str, list[bytes]] = {}
            for facet, one in packed.items():
                facets.setdefault(facet.decode().casefold(), []).append(one)
            self._packed[kind] = facets
        standing = {one for facets in self._packed.values() for several in facets.values() for one in several}
        self._lists = {packed: listed for packed, listed in self._lists.items() if packed in standing}

    async def _take_cards(self) -> None:
        """Read the cards of the overall lists again, so that they can be shown without Redis; forget the others."""
        lists = [listed for kind in LISTS for listed in self.lists(kind, OVERALL)]
        course_ids = {candidate.course_id for listed in lists for candidate in listed.candidates}
        self._cards = await self._read_cards(sorted(course_ids)) if course_ids else {}
