"""What tests of replays share: a log of many kinds of events, and what must hold of generations."""

import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaProducer

from adapters.follow import ControlLog
from adapters.redis import Client
from schemas.events import Dropped, Enrolled, Erased, LearnerEvent, ProfileUpdated, Rated
from schemas.keys import ShardKeys
from schemas.meta import Status
from stream.digest import digest_as_of, live_digest
from tests import reference
from tests.integration.workers import PARTITIONS, System, connected, publish
from tests.models import COURSES
from tests.reference import Logged
from tests.shard_state import read_learners
from tests.waiting import until

USERS: Final = [f"u{i}" for i in range(60)]


class Tools(NamedTuple):
    """What a test works with; the live generation is what control says it is."""

    system: System
    client: Client
    producer: AIOKafkaProducer
    log: list[Logged]

    async def append(self, *events: LearnerEvent, wait: bool = True) -> None:
        """Publish events; wait until they are merged into the live generation."""
        self.log.extend(await publish(self.producer, events))
        if wait:
            await self.caught_up()

    async def generation(self) -> int:
        """Return the live generation."""
        async with ControlLog(self.system.stack.bootstrap_servers) as control:
            return control.state.generation

    async def caught_up(self) -> None:
        """Wait until the live generation has all of the log."""
        await self.system.caught_up(self.client, await self.generation())

    async def expect_whole(self) -> None:
        """The live generation must be what the log says."""
        await self.caught_up()
        live = await live_digest(self.system.connections)
        assert live == await digest_as_of(self.system.connections, int(time.time() * 1_000))
        generation = await self.generation()
        shards = [ShardKeys(shard, generation) for shard in range(PARTITIONS)]
        states = [await read_learners(self.client, keys) for keys in shards]
        assert {user: state for one in states for user, state in one.items()} == reference.learners(self.log)


@asynccontextmanager
async def open_tools(system: System, log: list[Logged], number: int) -> AsyncIterator[Tools]:
    """Connect; the log holds so many events from the first time on."""
    async with connected(system) as (client, producer):
        tools = Tools(system, client, producer, log)
        if not log:
            await tools.append(*some_events(1, number))
        yield tools


def some_events(seed: int, number: int) -> list[LearnerEvent]:
    """Return events of many kinds."""
    dice, events = random.Random(seed), list[LearnerEvent]()
    for i in range(number):
        common: dict[str, Any] = {
            "event_id": f"{seed} {i}",
            "user_id": dice.choice(USERS),
            "occurred_at": 1_700_000_000 + dice.randrange(1_000_000),
        }
        events.append(some_event(dice, common))
    return events


def some_event(dice: random.Random, common: dict[str, Any]) -> LearnerEvent:
    about = {**common, "course_id": dice.choice(COURSES).course_id}
    kinds = (
        lambda: Enrolled(**about), lambda: Dropped(**about), lambda: Rated(**about, value=4),
        lambda: ProfileUpdated(**common, interests=("sql",)), lambda: Erased(**common),
    )  # fmt: skip
    return dice.choices(kinds, (20, 3, 5, 3, 0.1))[0]()


async def keys_of(client: Client, generation: int) -> set[str]:
    found: Any = [await client.keys(f"{ShardKeys(shard, generation).prefix}*") for shard in range(PARTITIONS)]
    return {key.decode() for keys in found for key in keys}


async def expect_retired(tools: Tools, generation: int) -> None:
    """Wait until nothing is left of a generation but metas that refuse zombies."""

    async def holds() -> bool:
        return len(await keys_of(tools.client, generation)) == PARTITIONS

    await until(holds, f"generation {generation} retired", 10)
    metas = await tools.system.metas(tools.client, generation)
    assert {meta.status for meta in metas if meta} == {Status.RETIRED} and all(metas)
