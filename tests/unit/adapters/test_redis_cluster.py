"""A cluster of which one node is away: the others answer, to who was connected and to who comes."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from adapters.redis import Client, connect
from deploy.ports import LOOPBACK
from schemas.keys import ShardKeys
from schemas.settings import Connections
from tests.cluster import Cluster, running_cluster, slot_of

KEYS = [ShardKeys(shard, 0).meta for shard in range(4)]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with running_cluster(tmp_path) as running:
        yield running


async def held(client: Client, key: str) -> object:
    """Return what a key holds, or that it cannot be read in time, as callers do."""
    try:
        async with asyncio.timeout(5):
            return await client.get(key)
    except (RedisError, TimeoutError) as error:
        return type(error)


async def test_one_node_away_takes_nothing_from_the_others(cluster: Cluster) -> None:
    old = connect(Connections(redis_url=cluster.redis_url, redis_cluster=True))
    for key in KEYS:
        await old.set(key, key)
    dead = cluster.owner(slot_of(3))
    here = [key for shard, key in enumerate(KEYS) if cluster.owner(slot_of(shard)) is not dead]
    assert len(here) == 3
    url = f"redis://{LOOPBACK}:{next(node.port for node in cluster.nodes if node is not dead)}/0"
    dead.kill()
    new = connect(Connections(redis_url=url, redis_cluster=True))
    for _ in range(3):
        for client in (old, new):
            found = await asyncio.gather(*(held(client, key) for key in KEYS))
            assert [found[KEYS.index(key)] for key in here] == [key.encode() for key in here]
            assert found[3] is RedisConnectionError
            pipeline = client.pipeline(transaction=False)
            pipeline.get(KEYS[3])
            with pytest.raises(RedisConnectionError):
                await pipeline.execute()
    dead.start()
    end_s = time.monotonic() + 60
    while await held(old, KEYS[3]) != KEYS[3].encode():
        assert time.monotonic() < end_s
        await asyncio.sleep(0.05)
    await old.aclose()
    await new.aclose()
