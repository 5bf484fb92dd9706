"""A learner's list as of a moment of the past, answered by the code that the API answers with."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
import typer
from rich.text import Text

from adapters.follow import ControlLog
from api.lists import Lists, Query
from api.log_ends import LogEnds
from api.lookup import Lookup
from api.shared import SharedCache
from recommender.recommend import Recommender
from recommender.resort import Filters
from recommender.shared import cold, newest, popular, trending
from recommender.sketch import sketches_of
from schemas.candidates import STRATEGIES, CandidateList, Version
from schemas.cards import Card, card_of
from schemas.control import ControlState
from schemas.courses import Course
from schemas.meta import Status
from schemas.settings import Connections
from stream.past import Past, past_of

_LISTED: Final = 100


class _Shared(SharedCache):
    """Shared lists and cards as of then, in memory."""

    def __init__(self, recommender: Recommender, catalogue: Mapping[str, Course], version: Version, us: int) -> None:
        found = {"popular": popular, "trending": trending, "latest": newest, "cold": cold}
        self._facets: dict[str, dict[str, list[CandidateList]]] = {}
        for kind, ranked in found.items():
            facets = self._facets[kind] = {}
            for facet, candidates in ranked(recommender, _LISTED).items():
                facets.setdefault(facet.casefold(), []).append(CandidateList(version, us, (), candidates))
        sketches = sketches_of(recommender.universe)
        self._known = {one: card_of(course, sketches.get(one, b"")) for one, course in catalogue.items()}

    def lists(self, kind: str, facet: str) -> list[CandidateList]:
        """Return the lists of a kind for a facet."""
        return [one for one in self._facets[kind].get(facet, []) if one.candidates]

    async def cards(self, course_ids: Iterable[str]) -> dict[str, Card]:
        """Return the cards of these courses, as far as they are known."""
        return {one: self._known[one] for one in course_ids if one in self._known}


class _Control(ControlLog):
    """What `control` said then."""

    def __init__(self, state: ControlState) -> None:
        self.state = state


class _Ends(LogEnds):
    """The log as it ended then: the state had all of it."""

    def __init__(self) -> None:
        pass

    def lag(self, _shard: int, _applied: int) -> int:
        """Return how many events were not merged."""
        return 0


def _looked_up(past: Past) -> Lookup:
    learner = past.learner
    return Lookup(
        past.shard,
        Status.LIVE,
        past.applied,
        past.packed,
        learner.header,
        learner.folded.records,
        learner.folded.feedback,
    )


async def answer_of(past: Past, user_id: str, until_ms: int, query: Query) -> dict[str, Any]:
    """Return what the API would have answered with what stood then, and which parts of it are exact."""
    version = Version(*past.serving.epochs, -1, -1)
    shared = _Shared(past.serving.recommender, past.catalogue, version, until_ms * 1_000)
    lists = Lists(shared, _Control(past.control), _Ends())
    answer = await lists.recommendations(user_id, _looked_up(past), query)
    return {
        **msgspec.json.decode(msgspec.json.encode(answer)),
        "age_s": None,
        "as_of_ms": until_ms,
        "exact": past.exact,
        "erased_since": past.learner.is_erased,
    }


async def recommend_as_of(connections: Connections, user_id: str, until_ms: int, query: Query) -> dict[str, Any]:
    """Return what the API would have answered at an append time."""
    return await answer_of(await past_of(connections, user_id, until_ms), user_id, until_ms, query)


def query_of(
    limit: int,
    strategy: str | None,
    facets: Mapping[str, str | None],
    prerequisites_met: bool,
    diversity: float,
    explore: bool,
) -> Query:
    """Return what is asked for; wrong usage if there is no such strategy."""
    if strategy and strategy not in STRATEGIES:
        raise typer.BadParameter(f"--strategy {strategy!r} is none of {', '.join(STRATEGIES)}")
    wanted = {name: value or "" for name, value in facets.items()}
    filters = Filters(wanted["language"], wanted["level"], wanted["category"])
    return Query(limit, filters, strategy or "", prerequisites_met, diversity, explore)


def told(answer: Mapping[str, Any]) -> Text:
    """Return how far the answer can be relied on, for people."""
    parts: dict[str, bool] = answer["exact"]
    exact, near = (
        ", ".join(name for name, is_exact in parts.items() if is_exact == wanted) for wanted in (True, False)
    )
    erased = "; this learner was erased since, and what that covers is left out" if answer["erased_since"] else ""
    return Text(f"as it was then: {exact}; as near as the log tells: {near}{erased}")
