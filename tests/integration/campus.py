"""What tests of running workers share: events, how readers look on, and what must hold when all is quiet."""

import asyncio
import itertools
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment

from adapters.records import read_event
from adapters.redis import Client, end_tasks
from schemas.candidates import CandidateList, unpack_candidates
from schemas.errors import InvalidEventError
from schemas.events import (
    Completed,
    Dropped,
    Enrolled,
    Erased,
    Feedback,
    Graded,
    LearnerEvent,
    ProfileUpdated,
    Progressed,
    Rated,
)
from schemas.keys import ShardKeys
from schemas.topics import ACTIVITY, LEARNER_EVENTS, STREAM_GROUP
from stream.digest import digest_as_of, live_digest
from tests import reference
from tests.integration.workers import PARTITIONS, System, publish, read_topic, shard_of_user
from tests.models import COURSES
from tests.reference import Logged, ReferenceLearner
from tests.shard_state import read_counts, read_learners
from tests.waiting import until

COURSE_IDS: Final = [course.course_id for course in COURSES]


class Tools(NamedTuple):
    """What a test works with."""

    system: System
    client: Client
    producer: AIOKafkaProducer


_numbers: Final = itertools.count()


def some_event(dice: random.Random, users: Sequence[str]) -> LearnerEvent:
    """Return some event of one of these learners; each eighth event id stands twice."""
    number = next(_numbers)
    common: dict[str, Any] = {
        "event_id": f"e{number if number % 8 else number - 1}",
        "user_id": dice.choice(users),
        "occurred_at": 1_700_000_000 + dice.randrange(3_000_000),
    }
    about: dict[str, Any] = {**common, "course_id": dice.choice(COURSE_IDS)}
    kinds = (
        lambda: Enrolled(**about), lambda: Dropped(**about), lambda: Completed(**about),
        lambda: Progressed(**about, value=dice.random()), lambda: Rated(**about, value=3, review="très bien"),
        lambda: Graded(**about, value=77), lambda: Feedback(**about, value=dice.choice(("useful", "not_for_me"))),
        lambda: ProfileUpdated(**common, interests=("sql",)), lambda: Erased(**common),
    )  # fmt: skip
    return dice.choices(kinds, (20, 3, 3, 6, 4, 3, 3, 3, 1))[0]()


async def state_of(client: Client, generation: int = 0) -> dict[str, ReferenceLearner]:
    """Return every learner's state of all shards."""
    states: dict[str, ReferenceLearner] = {}
    for shard in range(PARTITIONS):
        states |= await read_learners(client, ShardKeys(shard, generation))
    return states


async def expect_whole(tools: Tools) -> None:
    """Wait for quiet; the state must then be what the log says, to the byte, and so must be the counts."""
    await tools.system.caught_up(tools.client)
    connections = tools.system.connections
    live, log = await live_digest(connections), await digest_as_of(connections, int(time.time() * 1_000))
    assert live == replace(log, missing=0) and live.learners > 0
    assert await live_counts(tools.client) == await logged_counts(tools.system)


async def live_counts(client: Client) -> Counter[tuple[str, int]]:
    """Return current enrolments by course and day of all shards."""
    counts: Counter[tuple[str, int]] = Counter()
    for shard in range(PARTITIONS):
        counts.update(await read_counts(client, ShardKeys(shard, 0)))
    return counts


async def logged_counts(system: System) -> Counter[tuple[str, int]]:
    """Return what the reference counts over the log."""
    by_user: dict[str, list[Logged]] = defaultdict(list)
    for record in await read_topic(system, LEARNER_EVENTS):
        with suppress(InvalidEventError):
            event: Any = read_event(record, PARTITIONS, frozenset())
            by_user[event.user_id].append(Logged(event, record.timestamp))
    counts: Counter[tuple[str, int]] = Counter()
    for log in by_user.values():
        counts.update(reference.counts(log))
    return counts


async def listed(client: Client, user_id: str) -> CandidateList:
    """Return a learner's list, which must stand."""
    packed: Any = await client.get(shard_of_user(user_id).candidates(user_id))
    return unpack_candidates(packed)


def enrolled(user_id: str, occurred_at: int, course_id: str = "c05") -> Enrolled:
    """Return an enrolment."""
    return Enrolled(event_id=f"{occurred_at}", user_id=user_id, course_id=course_id, occurred_at=occurred_at)


@asynccontextmanager
async def streaming(tools: Tools, users: Sequence[str], rate: int = 1_000) -> AsyncIterator[list[Logged]]:
    """Publish about so many events a second for as long as the context lasts; all are in the log when it ends."""
    log: list[Logged] = []
    stop = asyncio.Event()

    async def stream() -> None:
        dice, clock = random.Random(next(_numbers)), asyncio.get_running_loop().time
        began, sent = clock(), 0
        while not stop.is_set():
            due = int((clock() - began) * rate) - sent
            log.extend(await publish(tools.producer, [some_event(dice, users) for _ in range(due)]))
            sent += due
            await asyncio.sleep(0.02)

    task = asyncio.create_task(stream())
    try:
        yield log
    finally:
        stop.set()
        await task


class Look(NamedTuple):
    """What a reader finds of a shard at one moment: its status, and how much of what was there before is not."""

    status: str
    behind: int
    missing: int


@asynccontextmanager
async def watched(tools: Tools, users: Sequence[str]) -> AsyncIterator[list[Look]]:
    """Look at every shard again and again; what was there at the beginning must be whatever is called live."""
    ends = await tools.system.ends()
    by_shard: dict[int, list[str]] = {shard: [] for shard in range(PARTITIONS)}
    for user in users:
        by_shard[shard_of_user(user).shard].append(user)
    looks: list[Look] = []

    async def look(shard: int) -> Look:
        keys, own = ShardKeys(shard, 0), by_shard[shard]
        pipeline = tools.client.pipeline(transaction=True)
        pipeline.hmget(keys.meta, "status", "applied")
        pipeline.exists(*(keys.candidates(user) for user in own))
        pipeline.exists(*(keys.history(user) for user in own))
        (status, applied), lists, histories = await pipeline.execute()
        if status is None:
            return Look("absent", 0, 0)
        return Look(status.decode(), ends[shard] - 1 - int(applied), 2 * len(own) - lists - histories)

    async def watch() -> None:
        while True:
            looks.extend([await look(shard) for shard in range(PARTITIONS)])
            await asyncio.sleep(0.002)

    task = asyncio.create_task(watch())
    try:
        yield looks
    finally:
        await end_tasks([task])
        if not task.cancelled():
            task.result()


async def owners_of(system: System) -> dict[tuple[str, int], str]:
    """Return who owns each partition, as the broker says; nobody anything while the group is rebalancing."""
    admin = AIOKafkaAdminClient(bootstrap_servers=system.stack.bootstrap_servers)
    await admin.start()
    try:
        (answer,) = await admin.describe_consumer_groups([STREAM_GROUP])
    finally:
        await admin.close()
    ((_, _, state, _, assignor, members, *_),) = answer.groups
    if state != "Stable":
        return {}
    assert assignor == "range"  # others may spread a shard's halves, with other numbers of workers than here
    owners: dict[tuple[str, int], str] = {}
    for member in members:
        for topic, shards in ConsumerProtocolMemberAssignment.decode(member[-1]).assignment:
            for shard in shards:
                assert (topic, shard) not in owners
                owners[topic, shard] = member[0]
    return owners


async def committed(system: System) -> dict[tuple[str, int], int]:
    """Return what the group has committed."""
    admin = AIOKafkaAdminClient(bootstrap_servers=system.stack.bootstrap_servers)
    await admin.start()
    try:
        answer = await admin.list_consumer_group_offsets(STREAM_GROUP)
    finally:
        await admin.close()
    return {(place.topic, place.partition): known.offset for place, known in answer.items()}


async def expect_owners(system: System) -> None:
    """Wait until both workers are in the group; every partition must then have one, a shard's halves the same."""

    async def holds() -> bool:
        return len(set((await owners_of(system)).values())) == 2

    await until(holds, "two owners", 15)
    owners = await owners_of(system)
    assert set(owners) == {(topic, shard) for topic in (LEARNER_EVENTS, ACTIVITY) for shard in range(PARTITIONS)}
    assert all(owners[LEARNER_EVENTS, shard] == owners[ACTIVITY, shard] for shard in range(PARTITIONS))


async def has_committed(tools: Tools, place: int, learner_offset: int, activity_offset: int) -> bool:
    """Whether the group has committed a shard's halves up to these offsets."""
    found = await committed(tools.system)
    reached = (found.get((LEARNER_EVENTS, place), 0), found.get((ACTIVITY, place), 0))
    return reached == (learner_offset + 1, activity_offset + 1)
