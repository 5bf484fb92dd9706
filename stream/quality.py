"""Live quality: each first enrolment is a test of the list that stood before it.

Judging takes up to half a millisecond a test, so it never happens in the agent: tests wait in a short queue, and a task
judges them in at most a tenth of the time. Under load the queue is full, and then no more are asked for: a sample.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from redis.exceptions import RedisError

from adapters.redis import Client
from recommender.places import NOWHERE, places_in, shared_place
from recommender.recommend import Recommender
from schemas.candidates import unpack_candidates, unpack_version
from schemas.keys import ShardKeys
from schemas.quality import KEPT_DAYS, SHARED, Slot, Tally, fields_of, history_of, tally_of
from stream import metrics
from stream.halves import PoisonError, breaking
from stream.merge import FirstEnrolments, LearnerUpdate
from stream.serving import Serving, ServingRoom
from stream.trials import Trial, Trials

logger: Final = logging.getLogger(__name__)

DAY_S: Final = 86_400
WAITING: Final = 1_000
"""Learners whose tests may wait."""
_SLICE_S: Final = 0.05
_PAUSE_S: Final = 0.2
_IDLE_SHARE: Final = 9


class Place(NamedTuple):
    """What one test found: where the course stood, from 1, or nowhere."""

    slot: Slot
    place: int | None


class _Waiting(NamedTuple):
    shard: int
    firsts: FirstEnrolments
    serving: Serving
    trial: Trial | None


def judge(firsts: FirstEnrolments, recommender: Recommender, model_epoch: int) -> Iterator[Place]:
    """Yield how a learner's first enrolments stood in the list that stood before, or else in that for the unknown.

    What had been taken is no test, since no list may show it; nor does it hold a place. `model_epoch` is the
    recommender's, which tells how popular courses are.
    """
    stood, taken = firsts.stood_before, set(firsts.taken)
    epoch = unpack_version(stood).model_epoch if stood else model_epoch
    for course_id in firsts.course_ids:
        if course_id in taken:
            continue
        history = history_of(len(taken))
        places = _places(stood, course_id, taken) if stood else {SHARED: shared_place(recommender, course_id, taken)}
        yield from (Place(Slot(epoch, strategy, history), place) for strategy, place in places.items())
        taken.add(course_id)


def _places(stood: bytes, course_id: str, taken: set[str]) -> dict[str, int | None]:
    if course_id.encode() not in stood:  # spares the unpacking of most lists
        return NOWHERE
    return places_in(unpack_candidates(stood).candidates, course_id, taken)


class Quality:
    """Judges first enrolments beside the stream, and adds up what it finds in Redis."""

    def __init__(self, client: Client, room: ServingRoom, trials: Trials) -> None:
        self._client = client
        self._room = room
        self._trials = trials
        self._waiting: deque[_Waiting] = deque()

    def wants_more(self) -> bool:
        """Whether first enrolments should be asked for."""
        return len(self._waiting) < WAITING

    def take(self, shard: int, firsts: Sequence[FirstEnrolments], updates: Mapping[str, LearnerUpdate]) -> None:
        """Take in first enrolments of a shard, with what is served now: later counts would know of the enrolments."""
        if serving := self._room.current:
            for one in firsts:
                trial = self._trials.trial_of(one, updates[one.user_id])
                self._waiting.append(_Waiting(shard, one, serving, trial))

    async def run(self) -> None:
        """Judge and write, for ever."""
        while True:
            began = time.perf_counter()
            found = await self._judge_some()
            if found:
                await self._write(found)
            await asyncio.sleep(max(_PAUSE_S, _IDLE_SHARE * (time.perf_counter() - began)))

    async def _judge_some(self) -> dict[int, dict[Slot, Tally]]:
        """Judge what waits, as far as there is time; return tallies by shard."""
        found: dict[int, dict[Slot, Tally]] = {}
        until = time.perf_counter() + _SLICE_S
        while self._waiting and time.perf_counter() < until:
            shard, firsts, serving, trial = self._waiting.popleft()
            tallies = found.setdefault(shard, {})
            try:
                with breaking():
                    for place_in, place in judge(firsts, serving.recommender, serving.model_epoch):
                        slot, tally = self._judged(place_in, firsts.user_id), tally_of(place)
                        tallies[slot] = tallies.get(slot, Tally()).plus(tally)
                        metrics.count_test(slot, tally)
                    if trial:
                        self._trials.judge(trial, firsts, serving.recommender)
            except PoisonError as error:  # a list may be damaged in any way; it costs a part of a sample
                logger.warning("a list was not judged: %s", error)
            await asyncio.sleep(0)
        return found

    def _judged(self, slot: Slot, user_id: str) -> Slot:
        """Return what a test is added up by: the list of an arm is its model's."""
        return slot._replace(model_epoch=self._trials.state.judged_epoch(slot.model_epoch, user_id))

    async def _write(self, found: dict[int, dict[Slot, Tally]]) -> None:
        """Add to the day's hashes. Not repeated when it fails: what is lost is a part of a sample."""
        day = int(time.time()) // DAY_S
        pipeline = self._client.pipeline(transaction=False)
        for shard, tallies in found.items():
            key = ShardKeys(shard, 0).quality(day)
            for slot, tally in tallies.items():
                for name, value in fields_of(slot, tally).items():
                    pipeline.hincrby(key, name, value)
            pipeline.expire(key, (KEPT_DAYS + 1) * DAY_S)
        try:
            await pipeline.execute()
        except RedisError as error:
            logger.warning("live quality was not written: %s", error)
