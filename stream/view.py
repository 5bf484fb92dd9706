"""One shard's state in Redis as its owner holds it: opened, wiped, marked live or retired."""

import logging
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from adapters.redis import Client, Script, pairs_of
from schemas.keys import ShardKeys
from schemas.meta import Meta, Status, unpack_meta
from schemas.topics import LEARNER_EVENTS

logger: Final = logging.getLogger(__name__)

_OPEN: Final = Script(Path(__file__).with_name("open.lua"))
GUARDED: Final = Script(Path(__file__).with_name("guarded.lua"))
_WIPE_CHUNK: Final = 500


@dataclass(frozen=True)
class ShardView:
    """A shard in one generation, and the nonce of the state that was opened."""

    keys: ShardKeys
    nonce: str

    async def guarded(self, client: Client, delete: Iterable[str] = (), **fields: str) -> bool:
        """Set fields of meta, and delete keys of what is wiped or retired, if it is still the state that was opened."""
        pairs = [part for pair in fields.items() for part in pair]
        return bool(await GUARDED.run(client, [self.keys.meta, *delete], [self.nonce, *pairs]))

    async def set_status(self, client: Client, status: Status) -> bool:
        """Set the shard's status, if the state is still the one that was opened."""
        return await self.guarded(client, status=status)


def by_name(fields: Any) -> dict[str, bytes]:
    """Return a hash as Redis answers it, with its field names decoded."""
    return {name.decode(): value for name, value in pairs_of(fields)}


async def read_meta(client: Client, keys: ShardKeys) -> Meta | None:
    """Return a shard's meta, or None if there is none."""
    fields: dict[bytes, bytes] = await client.hgetall(keys.meta)  # type: ignore[assignment]  # answers are not decoded
    return unpack_meta(fields)


async def delete_state(client: Client, view: ShardView) -> bool:
    """Delete every key of a shard and generation but its meta; False if the shard became another's meanwhile."""
    found = [key.decode() async for key in client.scan_iter(match=f"{view.keys.prefix}*", count=1_000)]
    doomed = [key for key in found if key != view.keys.meta]
    chunks = [doomed[i : i + _WIPE_CHUNK] for i in range(0, len(doomed), _WIPE_CHUNK)]
    return all([await view.guarded(client, delete=chunk) for chunk in chunks])


async def open_shard(
    client: Client, keys: ShardKeys, log_beginning: int, lost: bool = False, replay: str = ""
) -> tuple[ShardView, Meta]:
    """Return the shard's state; where there is none, a new empty one that is building, for a replay if one is named.

    `lost`: what stands there does not belong to this log and is given up. Leftovers of a lost state are deleted before
    the new one is filled: registers would join again, but counts would not.
    """
    nonce, begun = secrets.token_hex(16), log_beginning - 1
    answer = await _OPEN.run(client, [keys.meta], [keys.generation, nonce, begun, "1" if lost else "0", replay])
    meta = unpack_meta(dict(pairs_of(answer)))
    if meta is None:
        raise AssertionError("open.lua leaves a meta behind")
    view = ShardView(keys, meta.nonce)
    if meta.nonce == nonce and log_beginning > 0:
        lost_part = f"{LEARNER_EVENTS}:{keys.shard} begins at {log_beginning}"
        logger.error("ALARM: %s: what stood before is lost, and the new state lacks it", lost_part)
    if meta.status == Status.WIPING and await delete_state(client, view):
        await view.set_status(client, Status.BUILDING)
        meta = meta._replace(status=Status.BUILDING)
    return view, meta
