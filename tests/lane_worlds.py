"""Both ways to one state, and states as they may be: lists, histories, feedback, pending writes, experiments."""

import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any, Final

from redis import Redis

from adapters.follow import ControlLog
from schemas.candidates import Candidate, Source, Strategy
from schemas.cards import Card
from schemas.control import ControlState
from schemas.experiments import Arm, Experiment, ExperimentStarted
from schemas.keys import ShardKeys
from schemas.meta import Header
from schemas.pending import Pending, pack_pending
from schemas.registers import FEEDBACK_CODES, Rank, join_record, pack_fraction, pack_stamp
from tests.api_server import PARTITIONS, State
from tests.lane_house import Ends, Served, served
from tests.lane_requests import USERS

COURSES: Final = [f"c{i:02d}" for i in range(60)] + ["ü/ber kurs", 'qu"ote\\', "emo😀ji"]
TITLES: Final = ("", "Excel Basics", 'He said "yes"\\', "Größe\u2028 \x7f😀", "<script>&amp;")
CARDS: Final = [
    Card(one, TITLES[i % len(TITLES)], language="en" if i % 2 else "de", retired=i % 11 == 10)
    for i, one in enumerate(COURSES)
]


class Clock:
    """The quotas' clock."""

    now = 100.0

    def __call__(self) -> float:
        """Return the time that the test has set."""
        return self.now


@dataclass
class House:
    """Both ways to the same state."""

    state: State
    control: ControlLog
    ends: Ends
    clock: Clock
    fast: Served
    ordinary: Served

    async def compare(self, request: bytes) -> bytes:
        """Return the answer that both ways give."""
        self.clock.now += 0.003
        fast, ordinary = await self.fast.answer(request), await self.ordinary.answer(request)
        assert fast == ordinary, request
        return fast

    async def look(self) -> None:
        """Let both take in what stands in Redis."""
        await self.fast.look()
        await self.ordinary.look()

    @property
    def taken(self) -> int:
        """How many requests the fast lane has answered by itself."""
        return self.ordinary.app.requests - self.fast.app.requests


async def house_over(redis_url: str, **settings: Any) -> AsyncIterator[House]:
    """Yield both ways over an empty Redis, furnished."""
    control, ends, clock = ControlLog("unused:1"), Ends(), Clock()
    control.state = ControlState(partitions=PARTITIONS, model_version="m1", model_epoch=-1)
    ends.end = 101
    async with AsyncExitStack() as stack:
        fast, ordinary = [
            await stack.enter_async_context(served(redis_url, control, ends, clock, lane, **settings))
            for lane in (True, False)
        ]
        redis = stack.enter_context(Redis.from_url(redis_url))
        redis.flushdb()
        house = House(State(redis), control, ends, clock, fast, ordinary)
        await furnish(house)
        yield house


async def furnish(house: House) -> None:
    """Open the shards and write what is shared."""
    state = house.state
    for shard in range(PARTITIONS):
        fields: dict[Any, Any] = {"generation": 0, "status": "live", "nonce": "0" * 32, "applied": 100}
        state.redis.hset(ShardKeys(shard, 0).meta, mapping=fields)
    popular = [
        Candidate(one, 1 - i / 90, (0.0, 0.0, 0.0, 1 - i / 90, 0.0), Source.POPULAR, None)
        for i, one in enumerate(COURSES)
    ]
    state.write_shared(CARDS, popular, epoch=time.time_ns())
    state.write_cold(popular[5:20])
    await house.look()


def plain_learner(house: House, user_id: str = "u1") -> None:
    """Write a learner with a list of his own and nothing else."""
    own = [Candidate(one, 9.0 - i / 8, (1.0,) * 5, Source.CONTENT, None) for i, one in enumerate(COURSES[:40])]
    house.state.write_list(user_id, own)


def a_list(draw: random.Random) -> tuple[list[Candidate], tuple[str, ...]]:
    """Return candidates and causes."""
    causes = tuple(draw.sample(COURSES, draw.choice((0, 1, 5, 30))))
    ids = draw.sample(COURSES, draw.choice((0, 3, 12, 50, 60, 60, 63)))
    scores = sorted((draw.uniform(-9, 9) for _ in ids), reverse=True)
    rows = []
    for course_id, score in zip(ids, scores, strict=True):
        popular = draw.choice((0.0, 0.0, draw.random()))
        cause = draw.randrange(len(causes)) if causes and draw.random() < 0.6 else None
        components = (score, draw.random(), draw.random(), popular, 0.0)
        rows.append(Candidate(course_id, score, components, draw.choice(tuple(Source)), cause))
    return rows, causes


def a_record(draw: random.Random) -> bytes:
    """Return a course's registers."""

    def stamp(rank: Rank) -> bytes:
        return pack_stamp(draw.randrange(1, 10**6), rank, f"e{draw.random()}")

    kinds = draw.sample((Rank.ENROLLED, Rank.PROGRESSED, Rank.COMPLETED), draw.randint(1, 3))
    registers = {int(rank): stamp(rank) + (pack_fraction(0.5) if rank == Rank.PROGRESSED else b"") for rank in kinds}
    if draw.random() < 0.3:
        registers[int(Rank.ENROLLED)] = stamp(Rank.DROPPED)
    return join_record(b"", registers)


def write_learner(state: State, user_id: str, draw: random.Random) -> None:
    """Write a learner as he may stand in Redis."""
    keys = state.keys(user_id)
    state.redis.delete(keys.candidates(user_id), keys.history(user_id), keys.feedback(user_id), keys.pending(user_id))
    rows, causes = a_list(draw)
    if draw.random() < 0.9:
        state.write_list(user_id, rows, draw.randrange(101), causes)
    taken = {*causes, *draw.sample(COURSES, 5)} if draw.random() < 0.9 else ()
    state.write_learner(user_id, {one: a_record(draw) for one in taken}, Header(draw.randrange(101), -1))
    for course_id in draw.sample(COURSES, draw.choice((0, 0, 2))):
        register = pack_stamp(1, Rank.FEEDBACK, "f") + bytes([draw.choice(list(FEEDBACK_CODES.values()))])
        state.redis.hset(keys.feedback(user_id), course_id, register)
    if draw.random() < 0.3:
        write = Pending(draw.choice((99, 100, 101, 150)), draw.choice((Rank.ENROLLED, Rank.DROPPED, Rank.COMPLETED)))
        state.redis.hset(keys.pending(user_id), draw.choice(COURSES), pack_pending(write))
    if draw.random() < 0.3:
        state.redis.zadd(keys.dirty, {user_id: 1.0})


def an_experiment(draw: random.Random) -> Experiment:
    """Return an experiment whose arms differ in their strategies."""
    strategies: list[Strategy] = ["hybrid", draw.choice(("hybrid", "popular", "content"))]
    arms = tuple(Arm(name=f"arm{i}", strategy=one, share=0.5) for i, one in enumerate(strategies))
    return Experiment(ExperimentStarted(name="x", salt=f"s{draw.random()}", arms=arms), epoch=7, started_ms=0)


async def change_world(house: House, draw: random.Random, number: int) -> None:
    """Put everything into another state; the first three worlds are whole, and so are half of the others."""
    state = house.state
    for user_id in USERS[:-1]:
        write_learner(state, user_id, draw)
    is_whole = number < 3 or draw.random() < 0.5
    statuses = ["live"] if is_whole else ["live", "building", "wiping", "retired"]
    for shard in range(PARTITIONS):
        state.redis.hset(ShardKeys(shard, 0).meta, "status", draw.choice(statuses))
    house.ends.end = 101 if is_whole else draw.choice((101, 150, None))
    if not is_whole and draw.random() < 0.5:
        for one in (house.fast, house.ordinary):
            one.services.watch.trust.doubt_all()
    experiment = an_experiment(draw) if draw.random() < 0.4 else None
    house.control.state = replace(house.control.state, experiment=experiment)
    if draw.random() < 0.3:
        state.redis.script_flush()
    await house.look()
