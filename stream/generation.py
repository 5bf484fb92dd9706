"""Generations: full copies of the view, one of them live. Retiring one leaves a meta that refuses zombies."""

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from adapters.redis import Client, Script, patiently
from schemas.keys import ShardKeys
from schemas.meta import Meta, Status
from stream.lease import holder
from stream.view import ShardView, delete_state, read_meta

logger: Final = logging.getLogger(__name__)

_ABANDON: Final = Script(Path(__file__).with_name("abandon.lua"))


async def retire_shard(client: Client, keys: ShardKeys) -> None:
    """Mark a shard's state retired, so that nobody merges into it, and delete all but its meta.

    Whoever dies over it leaves a meta that does not say `emptied`: the next one goes on.
    """
    meta = await patiently(lambda: read_meta(client, keys))
    if meta is None or meta.emptied:
        return
    view = ShardView(keys, meta.nonce)
    if not await patiently(lambda: view.set_status(client, Status.RETIRED)):
        return
    if await patiently(lambda: delete_state(client, view)):
        await patiently(lambda: view.guarded(client, emptied="1"))
        logger.info("generation %d is retired on shard %d", keys.generation, keys.shard)


async def retire_older(client: Client, live: int, partitions: Sequence[int]) -> None:
    """Retire these shards of all generations before the live one; those that are emptied already are left alone."""
    for keys in (ShardKeys(partition, generation) for generation in range(live) for partition in partitions):
        await retire_shard(client, keys)


async def _delete(client: Client, view: ShardView) -> None:
    """Delete a retired state, its meta last."""
    if await patiently(lambda: delete_state(client, view)):
        await patiently(lambda: view.guarded(client, delete=[view.keys.meta]))


async def delete_generation(client: Client, generation: int, partitions: int) -> None:
    """Delete what an earlier replay left of a generation that never went live, its meta included."""
    for keys in (ShardKeys(partition, generation) for partition in range(partitions)):
        meta = await patiently(partial(read_meta, client, keys))
        if meta is None:
            continue
        view = ShardView(keys, meta.nonce)
        if await patiently(partial(view.set_status, client, Status.RETIRED)):
            await _delete(client, view)


async def _abandon(client: Client, keys: ShardKeys, meta: Meta) -> None:
    """Delete what a replay has left unfinished in a shard."""
    view = ShardView(keys, meta.nonce)
    if await patiently(lambda: _ABANDON.run(client, [keys.meta], [meta.nonce, meta.replay])):
        await _delete(client, view)
        logger.warning("generation %d on shard %d was never finished and is deleted", keys.generation, keys.shard)


async def delete_unfinished(client: Client, generation: int, partitions: Sequence[int], own: str = "") -> None:
    """Delete what replays that are dead have left of a generation; `own` is a replay that gives up itself."""
    for keys in (ShardKeys(partition, generation) for partition in partitions):
        meta = await patiently(partial(read_meta, client, keys))
        # The lease is looked at after the meta: a replay that finishes in between has cleared its name there.
        if meta and meta.replay and (meta.replay == own or meta.replay != await patiently(partial(holder, client))):
            await _abandon(client, keys, meta)
