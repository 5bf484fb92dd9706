"""The sweep of a new model, and whether fresh events ever wait behind it."""

import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Final, NamedTuple

from adapters.redis import Client
from schemas.meta import Status
from stream.refresh import Refresher
from stream.serving import Serving
from stream.shards import Phase, Shard
from stream.view import ShardView, read_meta

_ROUNDS_A_FRESH: Final = 4
"""A fresh event comes in before each round of so many."""


class Swept(NamedTuple):
    """A sweep, the learner who was active last first."""

    learners: int
    us_per_learner: float
    """CPU of the worker, with what the fresh events cost."""
    round_ms: float
    """Median; an event that comes in meanwhile waits for the round under way."""
    fresh_rounds: int
    """The most rounds that a fresh event waited for its list, the one it came in before counted."""


async def sweep(
    client: Client,
    view: ShardView,
    serving: Serving,
    refresher: Refresher,
    most: int,
    enrol: Callable[[], Awaitable[str]],
) -> Swept:
    """Sweep the lists of at most about `most` learners to another model; `enrol` merges an event, names its learner."""
    shard, rounds, waits = await _live(client, view), list[float](), list[int]()
    began, waiting = time.process_time(), dict[str, int]()
    while not shard.meta.sweep.endswith(" -inf") and await _num_swept(client, shard) < most:
        if len(rounds) % _ROUNDS_A_FRESH == 0:
            waiting[await enrol()] = 0
        started = time.monotonic()
        await refresher.round([shard], serving)
        rounds.append((time.monotonic() - started) * 1e3)
        waiting = {user_id: waited + 1 for user_id, waited in waiting.items()}
        for user_id in [one for one in waiting if await client.zscore(view.keys.dirty, one) is None]:
            waits.append(waiting.pop(user_id))
    num_swept = await _num_swept(client, shard)
    return Swept(
        num_swept,
        (time.process_time() - began) / max(num_swept, 1) * 1e6,
        median(rounds),
        max([*waits, *waiting.values()], default=0),
    )


async def _live(client: Client, view: ShardView) -> Shard:
    await view.set_status(client, Status.LIVE)
    meta = await read_meta(client, view.keys)
    if meta is None:
        raise RuntimeError("the shard's meta is gone")
    shard = Shard(view.keys.shard)
    shard.view, shard.meta, shard.phase = view, meta, Phase.OPEN
    return shard


async def _num_swept(client: Client, shard: Shard) -> int:
    """Return how many learners the sweep has passed."""
    cursor = shard.meta.sweep.rpartition(" ")[2]
    return int(await client.zcount(shard.view.keys.learners, cursor, "+inf")) if cursor else 0
