"""Finding courses by the words of their titles, in memory; the cards are read again when the catalogue changed."""

import asyncio
import re
import unicodedata
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from redis.exceptions import RedisError

from adapters.redis import Client
from schemas.cards import Card, unpack_card
from schemas.keys import SHARED_CARDS, SHARED_META

MOST_WORDS: Final = 8
"""Further words of a search are not looked at."""

_WORD: Final = re.compile(r"\w+")


def folded_words(text: str) -> list[str]:
    """Return the words of a text without case and accents.

    >>> folded_words("L'École  d'été: C++")
    ['l', 'ecole', 'd', 'ete', 'c']
    """
    letters = unicodedata.normalize("NFKD", text.casefold())
    return _WORD.findall("".join(letter for letter in letters if not unicodedata.combining(letter)))


class _Titled(NamedTuple):
    """A course and its title's folded words, each after a blank."""

    words: str
    card: Card


def _indexed(packed: Iterable[bytes]) -> list[_Titled]:
    cards = (unpack_card(one) for one in packed)
    return [_Titled("".join(f" {word}" for word in folded_words(c.title)), c) for c in cards if not c.retired]


def best(titled: Iterable[_Titled], text: str, limit: int) -> list[Card]:
    """Return the courses whose title holds every word of a text as a word's beginning.

    Those whose title begins with the text come first, then whole words before beginnings, then what many take.
    """
    wanted = [f" {word}" for word in dict.fromkeys(folded_words(text))][:MOST_WORDS]
    if not wanted:
        return []
    phrase = "".join(wanted)

    def order(one: _Titled) -> tuple[bool, int, int, str]:
        num_whole = sum(f"{word} " in f"{one.words} " for word in wanted)
        return not one.words.startswith(phrase), -num_whole, -(one.card.num_subscribers or 0), one.words

    found = [one for one in titled if all(word in one.words for word in wanted)]
    return [one.card for one in sorted(found, key=order)[:limit]]


class TitleSearch:
    """The titles of the catalogue as it stood at the last search."""

    def __init__(self, client: Client, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._epoch: Any = None
        self._titled: list[_Titled] = []
        self._loading = asyncio.Lock()

    async def find(self, text: str, limit: int) -> list[Card]:
        """Return courses by title, best first. Raises RedisError or TimeoutError if none were ever read."""
        try:
            await self._refresh()
        except (RedisError, TimeoutError):
            if self._epoch is None:
                raise
        return await asyncio.to_thread(best, self._titled, text, limit)

    async def _refresh(self) -> None:
        async with asyncio.timeout(self._timeout_s):
            epoch: Any = await self._client.hget(SHARED_META, "catalogue_epoch")
        if epoch is None or epoch == self._epoch:  # None: a Redis that lost everything
            return
        async with self._loading, asyncio.timeout(10 * self._timeout_s):
            if epoch == self._epoch:  # read meanwhile, by another search
                return
            packed: Any = await self._client.hvals(SHARED_CARDS)
            self._titled = await asyncio.to_thread(_indexed, packed)
            self._epoch = epoch
