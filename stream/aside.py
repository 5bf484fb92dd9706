"""Learners whose list breaks the code: let be for a while, the list as it was and the mark with it."""

import logging
import time
from collections.abc import Sequence
from typing import Final

from stream.halves import Odds, PoisonError
from stream.lists import Computed, Marked
from stream.view import ShardView

logger: Final = logging.getLogger(__name__)

ASIDE_S: Final = 60.0


class Aside:
    """Who is let be, until when."""

    def __init__(self) -> None:
        self._odds = Odds()
        self._until: dict[tuple[str, str], float] = {}

    def note(self, found: Computed) -> None:
        """Put aside who broke the code, to be tried again later; BrokenCodeError if these are too many."""
        self._odds.worked(len(found.made))
        for one, _ in found.made:
            self._until.pop(_place(one), None)
        self._put(found.broken)

    def _put(self, broken: Sequence[tuple[Marked, PoisonError]]) -> None:
        for one, error in broken:
            if _place(one) not in self._until:
                shard = one.view.keys.shard
                logger.error("ALARM: the list of a learner of shard %d breaks the code", shard, exc_info=error)
                self._odds.broke(error)
            self._until[_place(one)] = time.monotonic() + ASIDE_S

    def holds(self, one: Marked) -> bool:
        """Whether a learner is to be let be."""
        return self._until.get(_place(one), 0.0) > time.monotonic()

    def number(self, view: ShardView) -> int:
        """Return how many learners of a shard are to be let be."""
        now = time.monotonic()
        return sum(prefix == view.keys.prefix and until > now for (prefix, _), until in self._until.items())


def _place(one: Marked) -> tuple[str, str]:
    return one.view.keys.prefix, one.user_id
