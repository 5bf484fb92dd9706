"""Courses by predicted grade: of a learner's own grades, or of a grade sheet that is sent along and kept nowhere."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Final, NamedTuple

import numpy as np
from redis.exceptions import RedisError

from adapters.follow import ControlLog
from adapters.redis import Client
from api.answers import GradesAnswer, Item, Reason, Recommendations
from api.lists import Query, spread
from api.log_ends import LogEnds
from api.lookup import Lookup
from api.problems import not_found, unavailable
from api.shared import SharedCache
from recommender.grades import Grader, sheet_of, unpack_grades
from recommender.history import scale_place
from recommender.resort import allowed
from schemas.candidates import COMPONENTS, Candidate, Source
from schemas.cards import Card
from schemas.keys import SHARED_GRADES, SHARED_META
from schemas.registers import Rank, split_record

logger: Final = logging.getLogger(__name__)

_NOTHING: Final = (0.0,) * len(COMPONENTS)

Graded = Sequence[tuple[str, float]]
"""(course id, grade as a fraction of its scale), oldest first."""


def grades_in(history: Mapping[str, bytes]) -> Graded:
    """Return the grades that a history of packed records holds, oldest first."""
    found = []
    for course_id, packed in history.items():
        register = split_record(packed).get(Rank.GRADED)
        if register:
            found.append((int.from_bytes(register[:8], "big") >> 4, course_id, scale_place(register)))
    return [(course_id, grade) for _, course_id, grade in sorted(found)]


class GradesModel(NamedTuple):
    """The grades part of the live model, as it stood last in Redis."""

    epoch: int
    course_ids: tuple[str, ...]
    index_of: Mapping[str, int]
    grader: Grader


def _unpacked(epoch: int, raw: bytes) -> GradesModel:
    course_ids, net = unpack_grades(raw)
    return GradesModel(epoch, course_ids, {one: place for place, one in enumerate(course_ids)}, Grader(net))


class GradedLists:
    """Makes lists by predicted grade; the model is read from Redis when another one is live there."""

    def __init__(
        self, client: Client, shared: SharedCache, control: ControlLog, ends: LogEnds, timeout_s: float
    ) -> None:
        self._client, self._shared, self._control, self._ends = client, shared, control, ends
        self._timeout_s = timeout_s
        self._model: GradesModel | None = None

    async def recommendations(self, user_id: str, found: Lookup | None, query: Query) -> Recommendations:
        """Return what a learner has not taken, by predicted grade; degraded unless the state is whole."""
        is_whole = bool(found and found.is_whole)
        graded = grades_in(found.history) if found and is_whole else ()
        excluded = found.excluded if found else frozenset()
        if query.prerequisites_met:
            completed = found.completed if found else frozenset[str]()
            query = query._replace(filters=replace(query.filters, completed=completed))
        model = await self._current()
        return Recommendations(
            user_id=user_id,
            strategy=query.strategy,
            items=await self._items(model, graded, excluded, query),
            model_version=self._control.state.version_of(model.epoch),
            state_version=found.state_version if found else "",
            generated_at=None,  # with the request
            age_s=0.0,
            lag=self._ends.lag(found.shard, found.applied) if found else None,
            degraded=not is_whole,
        )

    async def of_sheet(self, sheet: Mapping[str, float], query: Query) -> GradesAnswer:
        """Return what a grade sheet does not hold, by predicted grade."""
        model = await self._current()
        return GradesAnswer(
            items=await self._items(model, tuple(sheet.items()), frozenset(sheet), query),
            unknown=tuple(course_id for course_id in sheet if course_id not in model.index_of),
            model_version=self._control.state.version_of(model.epoch),
        )

    async def _items(
        self, model: GradesModel, graded: Graded, excluded: frozenset[str], query: Query
    ) -> tuple[Item, ...]:
        predicted = await asyncio.to_thread(model.grader.predict, sheet_of(graded, model.index_of))
        cards = await self._shared.cards(model.course_ids)
        candidates = (
            Candidate(model.course_ids[place], float(predicted[place]), _NOTHING, Source.COLLABORATIVE, None)
            for place in np.argsort(-predicted, kind="stable").tolist()
        )
        left = spread(allowed(candidates, cards, query.filters, excluded), cards, query)
        return tuple(_item(one, cards.get(one.course_id)) for one in islice(left, query.limit))

    async def _current(self) -> GradesModel:
        """Return the live model; the one before while Redis is away. Raises the 404 problem if there is none."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._follow()
        except (RedisError, TimeoutError) as error:
            if self._model is None:
                raise unavailable("Redis does not answer, and no grades model has been seen yet") from None
            logger.warning("the grades model cannot be read: %r", error)
        if self._model is None:
            raise not_found(
                "strategy: the live model predicts no grades: the log holds too few, or they taught nothing"
            )
        return self._model

    async def _follow(self) -> None:
        epoch: Any = await self._client.hget(SHARED_GRADES, "epoch")
        if epoch is None:
            if await self._client.hexists(
                SHARED_META, "model_epoch"
            ):  # else Redis was emptied: what stood last is good
                self._model = None
        elif self._model is None or int(epoch) != self._model.epoch:
            stood: Any = await self._client.hmget(SHARED_GRADES, ["epoch", "model"])
            if all(stood):
                self._model = await asyncio.to_thread(_unpacked, int(stood[0]), stood[1])


def _item(candidate: Candidate, card: Card | None) -> Item:
    title = (card.title if card else "") or candidate.course_id
    score = round(candidate.score, 6)
    reason = Reason("grades", None, f"Predicted grade: {100 * score:.0f} %", ())
    return Item(candidate.course_id, title, score, (reason,), predicted_grade=score)
