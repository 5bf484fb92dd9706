"""Generations: full copies of the view, one of them live. Retiring one leaves a meta that refuses zombies."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Final

from adapters.redis import Client, patiently
from schemas.keys import ShardKeys
from schemas.meta import Status
from stream.view import ShardView, delete_state, read_meta

logger: Final = logging.getLogger(__name__)


async def retire_shard(client: Client, keys: ShardKeys) -> None:
    """Mark a shard's state retired, so that nobody merges into it, and delete all but its meta."""
    meta = await patiently(lambda: read_meta(client, keys))
    if meta is None:
        return
    view = ShardView(keys, meta.nonce)
    if await patiently(lambda: view.set_status(client, Status.RETIRED)):
        await patiently(lambda: delete_state(client, view))


async def retire_older(client: Client, live: int, partitions: Sequence[int]) -> None:
    """Retire these shards of all generations before the live one; those that are retired already are left alone."""
    for keys in (ShardKeys(partition, generation) for generation in range(live) for partition in partitions):
        meta = await patiently(partial(read_meta, client, keys))
        if meta is not None and meta.status != Status.RETIRED:
            await retire_shard(client, keys)
            logger.info("generation %d is retired on shard %d", keys.generation, keys.shard)


async def delete_generation(client: Client, generation: int, partitions: int) -> None:
    """Delete what an earlier replay left of a generation that never went live, its meta included."""
    for partition in range(partitions):
        keys = ShardKeys(partition, generation)
        await retire_shard(client, keys)
        await patiently(partial(client.delete, keys.meta))
