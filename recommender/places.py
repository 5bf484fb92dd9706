"""Where a course stood in a list, as a reader would have seen it: taken courses hold no place, ties are lost."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import numpy as np

from recommender.model import Floats
from recommender.recommend import Recommender
from recommender.resort import scores_of
from schemas.candidates import STRATEGIES, Candidate

SHARED_PLACES: Final = 100
"""Places of the lists for everybody."""

NOWHERE: Final[dict[str, int | None]] = dict.fromkeys(STRATEGIES)


def places_in(listed: Sequence[Candidate], course_id: str, taken: AbstractSet[str]) -> dict[str, int | None]:
    """Return a course's place under each strategy, from 1; None: it stood nowhere. What ties with it is before it.

    >>> from schemas.candidates import Source
    >>> pairs = zip("abcd", (4, 3, 3, 1))
    >>> listed = [Candidate(name, score, (score,) * 5, Source.CONTENT, None) for name, score in pairs]
    >>> [places_in(listed, name, {"a"})["hybrid"] for name in "bcde"]
    [2, 2, 3, None]
    """
    place = next((place for place, one in enumerate(listed) if one.course_id == course_id), None)
    if place is None:
        return NOWHERE
    rivals = [number for number, one in enumerate(listed) if number != place and one.course_id not in taken]
    found: dict[str, int | None] = {}
    for strategy in STRATEGIES:
        scores = scores_of(listed, strategy)
        found[strategy] = 1 + sum(scores[rival] >= scores[place] for rival in rivals)
    return found


def shared_place(recommender: Recommender, course_id: str, taken: AbstractSet[str], kind: str = "cold") -> int | None:
    """Return a course's place in a list for everybody, from 1, or None. What ties with it is before it.

    `kind`: popular, trending, or cold, the list for who is unknown.
    """
    universe = recommender.universe
    index = universe.index_of.get(course_id)
    if index is None or not universe.active[index]:
        return None
    scores: Floats = getattr(recommender, kind)
    ahead = (scores >= scores[index]) & universe.active
    hidden = [universe.index_of[one] for one in taken if one in universe.index_of]
    ahead[hidden] = False
    ahead[index] = True
    place = int(np.count_nonzero(ahead))
    return place if place <= SHARED_PLACES else None
