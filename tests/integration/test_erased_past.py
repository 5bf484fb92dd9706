"""A replay of the past brings nobody back who was erased since."""

import asyncio
import time
from typing import Any, Final

from adapters.kafka import open_producer
from adapters.redis import connect
from deploy.embedded import EmbeddedStack
from schemas.events import Erased
from schemas.keys import ShardKeys
from schemas.settings import Connections
from stream.replay import rebuild
from tests.integration.campus import enrolled
from tests.integration.workers import publish, shard_of_user
from tests.shard_state import read_learners

GONE: Final = "past-gone"
STAYS: Final = "past-stays"


async def test_a_replay_of_the_past_leaves_out_who_was_erased_since(stack: EmbeddedStack) -> None:
    connections = Connections(kafka_bootstrap_servers=stack.bootstrap_servers, redis_url=stack.redis_url)
    client = connect(connections)

    async def courses_of(user_id: str) -> Any:
        keys = ShardKeys(shard_of_user(user_id).shard, 1)
        return (await read_learners(client, keys))[user_id].courses.keys()

    async with open_producer(stack.bootstrap_servers) as producer:
        await publish(producer, [enrolled(GONE, 1), enrolled(STAYS, 1)])
        await asyncio.sleep(0.02)  # the next record must be stamped later
        moment_ms = int(time.time() * 1_000)
        then = await rebuild(connections, until_ms=moment_ms)
        assert await courses_of(GONE) == await courses_of(STAYS) == {"c05"}
        await asyncio.sleep(0.02)
        await publish(producer, [Erased(event_id="x", user_id=GONE, occurred_at=1)])
    again = await rebuild(connections, until_ms=moment_ms)
    assert again.digest == then.digest
    assert await courses_of(GONE) == set() and await courses_of(STAYS) == {"c05"}
    await client.aclose()
