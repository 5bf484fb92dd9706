"""The refresh: dirty learners in, lists out. A stage of its own that never waits in the agent, nor the agent in it."""

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple

from redis.exceptions import TimeoutError as RedisTimeoutError

from adapters.redis import Client, Command, Script, ask_all, pairs_of, server_of
from schemas.meta import Status
from stream.aside import Aside
from stream.lists import Marked, compute
from stream.marks import marked_ms
from stream.serving import Serving, ServingRoom
from stream.shards import Phase, Shard
from stream.sweep import PATIENCE_S, Sweep, soon
from stream.view import ShardView

logger: Final = logging.getLogger(__name__)

_PUBLISH: Final = Script(Path(__file__).with_name("publish.lua"))
SHARE: Final = 0.1
"""Of a round, for the oldest marks, so that the busy starve nobody; and as many that are drawn: whose mark is renewed
again and again is neither among the newest for long nor ever old."""
LEAST_BATCH: Final = 4
"""The oldest, one that is drawn, and the two newest."""
_DEEPER: Final = 4

BEHIND_S: Final = 2.0
"""Pause after a round that published nothing while the live model can't be loaded."""

Pairs = list[tuple[bytes, float | bytes]]


class _Marks(NamedTuple):
    """Marks of a shard with their scores, and whether it has no others."""

    scores: dict[Marked, float]
    are_all: bool


class _Others(NamedTuple):
    """Marks of a shard that has too many for a round."""

    oldest: Pairs
    drawn: Pairs


def _share(size: int) -> int:
    return max(1, int(size * SHARE))


def _chosen(
    view: ShardView, size: int, others: _Others | None, newest: Pairs, let_be: Callable[[Marked], bool]
) -> _Marks:
    """Return the first `size` of the marks of who is not to be let be; without others these are all."""

    def kept(pairs: Pairs) -> list[tuple[Marked, float]]:
        marks = [(Marked(view, user.decode()), float(score)) for user, score in pairs]
        return [(one, score) for one, score in marks if not let_be(one)]

    if others is None:
        found = kept(newest)
        return _Marks(dict(found[:size]), len(found) <= size)
    first = dict([*kept(others.oldest)[: _share(size)], *kept(others.drawn), *kept(newest)])
    return _Marks(dict(list(first.items())[:size]), False)


class Refreshed(NamedTuple):
    """How many lists of a batch were published, and the shards all of whose marks it held."""

    published: int
    whole: frozenset[ShardView]


async def read(client: Client, learners: Sequence[Marked]) -> list[Any]:
    """Read learners at once: four hashes each, or what is wrong with one."""
    hashes = [
        of_learner(user_id)
        for keys, user_id in ((one.view.keys, one.user_id) for one in learners)
        for of_learner in (keys.history, keys.feedback, keys.profile, keys.activity)
    ]
    return await ask_all(client, [("HGETALL", key) for key in hashes], of_any_type=True)


async def _unless_away(work: Callable[[], Awaitable[bool]]) -> bool | None:
    """Await work on shards of one server; None if it is away: it must not hold up the others, and its marks stay."""
    try:
        return await work()
    except RedisTimeoutError:
        logger.warning("shards wait for their server, which did not answer within %.0f s", PATIENCE_S)
        return None


class Refresher:
    """Computes and publishes lists for the shards of one worker."""

    def __init__(self, client: Client, limit: int, batch: int) -> None:
        self._client = client
        self._limit = limit
        self._batch = batch
        self._wake = asyncio.Event()
        self._next_swept = 0
        self.rounds = 0
        """How often lists were computed or looked for: it grows as long as the thread and the loop are alive."""
        self._aside = Aside()
        self.sweep = Sweep(client, self.refresh).step
        # One thread: computing holds the interpreter most of the time, and a second one would only slow the loop.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="refresh")
        self.observe_freshness: Callable[[float], None] = lambda _seconds: None

    def wake(self) -> None:
        """Say that a learner was marked or that what lists are made with has changed."""
        self._wake.set()

    async def refresh(self, learners: Sequence[Marked], serving: Serving) -> list[Marked]:
        """Compute and publish the lists of learners of shards on one server; return whose were published.

        While one batch is computed, others are published and read.
        """
        batches = [learners[first : first + self._batch] for first in range(0, len(learners), self._batch)]
        published = await asyncio.gather(*(self._refresh_batch(batch, serving) for batch in batches))
        return list(chain.from_iterable(published))

    async def _refresh_batch(self, batch: Sequence[Marked], serving: Serving) -> list[Marked]:
        answers = await soon(lambda: read(self._client, batch))
        work = functools.partial(compute, serving, batch, answers, self._limit)
        found = await asyncio.get_running_loop().run_in_executor(self._thread, work)
        self.rounds += 1
        self._aside.note(found)
        await self._mark([one for one, _ in found.broken])
        parts: dict[ShardView, list[bytes | str]] = {}
        for one, args in found.made:
            parts.setdefault(one.view, []).extend(args)
        published = await asyncio.gather(*(self._publish(view, args, serving) for view, args in parts.items()))
        return list(chain.from_iterable(published))

    async def _mark(self, learners: Sequence[Marked]) -> None:
        """Mark learners that a sweep came to, unless they are: what could not be done is tried again."""
        now_ms = int(time.time() * 1_000)
        await self._ask([("ZADD", one.view.keys.dirty, "NX", now_ms, one.user_id) for one in learners])

    async def _publish(self, view: ShardView, args: Sequence[bytes | str], serving: Serving) -> list[Marked]:
        """Publish lists of learners of one shard, four arguments each; return whose were."""
        keys = view.keys
        declared = [keys.meta, keys.dirty]
        users = [str(user_id) for user_id in args[::4]]
        for user_id in users:
            declared += [keys.history(user_id), keys.candidates(user_id), keys.embedding(user_id)]
        now_ms = int(time.time() * 1_000)
        head = (view.nonce, now_ms, serving.swept)
        answer: bytes = await soon(lambda: _PUBLISH.run(self._client, declared, [*head, *args]))
        return [Marked(view, user_id) for user_id, digit in zip(users, answer.decode(), strict=False) if digit == "1"]

    async def _ask(self, commands: Sequence[Command]) -> list[Any]:
        return await soon(lambda: ask_all(self._client, commands)) if commands else []

    async def _marks(self, batches: Mapping[ShardView, int], serving: Serving) -> dict[ShardView, _Marks]:
        """Return of each shard so many marks: the newest, and a share of the oldest and of any; none to be let be.

        Whoever is to be let be takes nobody's turn: where marks are many and too few are left, it is looked deeper.
        """
        found: dict[ShardView, _Marks] = {}
        let_be = functools.partial(self._lets_be, serving)
        limits = {view: size + self._aside.number(view) for view, size in batches.items()}
        while limits:
            # One more than can be done, to see whether there are.
            answers = await self._ask(
                [("ZRANGE", v.keys.dirty, 0, limit, "REV", "WITHSCORES") for v, limit in limits.items()]
            )
            newest = dict(zip(limits, map(pairs_of, answers), strict=True))
            beyond = {view: limit for view, limit in limits.items() if len(newest[view]) > limit}
            others = await self._others(batches, beyond)
            for view in limits:
                found[view] = _chosen(view, batches[view], others.get(view), newest[view], let_be)
            limits = {
                view: _DEEPER * limit for view, limit in beyond.items() if len(found[view].scores) < batches[view]
            }
        return found

    def _lets_be(self, serving: Serving, one: Marked) -> bool:
        """Whether a learner was put aside, or waits for the model of his arm."""
        return self._aside.holds(one) or serving.waits(one.user_id)

    async def _others(
        self, batches: Mapping[ShardView, int], limits: Mapping[ShardView, int]
    ) -> dict[ShardView, _Others]:
        """Return the oldest marks of shards with too many, and some of any."""
        asked: list[Command] = []
        for view, limit in limits.items():
            share = _share(batches[view])
            asked.append(("ZRANGE", view.keys.dirty, 0, share - 1 + limit - batches[view], "WITHSCORES"))
            asked.append(("ZRANDMEMBER", view.keys.dirty, share, "WITHSCORES"))
        pairs = list(map(pairs_of, await self._ask(asked)))
        return {view: _Others(*both) for view, *both in zip(limits, pairs[::2], pairs[1::2], strict=True)}

    async def refresh_marked(self, batches: Mapping[ShardView, int], serving: Serving) -> Refreshed:
        """Refresh so many dirty learners of each of these shards, all on one server."""
        found = await self._marks(batches, serving)
        scores = {one: score for marks in found.values() for one, score in marks.scores.items()}
        published = await self.refresh(list(scores), serving)
        now_ms = time.time() * 1_000
        for one in published:
            self.observe_freshness((now_ms - marked_ms(scores[one])) / 1_000)
        return Refreshed(len(published), frozenset(view for view, marks in found.items() if marks.are_all))

    async def drain(self, view: ShardView, serving: Serving) -> None:
        """Refresh until no learner of the shard is dirty, or none can be published with this serving."""
        while (await self.refresh_marked({view: self._batch}, serving)).published:
            pass

    async def _refresh_shards(self, shards: Sequence[Shard], serving: Serving, batch: int) -> bool:
        """Refresh a batch of each shard's marks; a shard that is building goes live once a batch held all of them.

        Not only when none is left: as long as events come in there may always be one.
        """
        rebuilt = [(shard, shard.view) for shard in shards if shard.meta.status == Status.BUILDING]
        batches = {shard.view: batch for shard in shards} | {view: self._batch for _, view in rebuilt}
        found = await self.refresh_marked(batches, serving)
        for shard, view in rebuilt:
            if view in found.whole and shard.view is view:
                await self.go_live(shard)
        return found.published > 0

    async def go_live(self, shard: Shard) -> None:
        """Let readers have a shard that was rebuilt, once it is filled, unless its state is lost again meanwhile."""
        view = shard.view
        if shard.phase != Phase.OPEN or shard.meta.status != Status.BUILDING:
            return
        if await soon(lambda: view.set_status(self._client, Status.LIVE)) and shard.view is view:
            shard.meta = shard.meta._replace(status=Status.LIVE)
            logger.info("shard %d is live", shard.partition)

    async def _sweep_next(self, shards: Sequence[Shard], serving: Serving, batch: int) -> bool:
        """Go on with the sweep of one shard that is not done; answer whether there was one."""
        for _ in shards:
            self._next_swept += 1
            shard = shards[self._next_swept % len(shards)]
            view, stood = shard.view, shard.meta.sweep
            stands = await self.sweep(view, serving, stood, batch)
            if stands != stood and shard.view is view:
                shard.meta = shard.meta._replace(sweep=stands)
                return True
        return False

    async def round(self, shards: Sequence[Shard], serving: Serving) -> bool:
        """Refresh a batch of every shard's marks, and some of a sweep behind them; answer whether anything was done."""
        # Who enrols now waits for the round under way: with many shards it stays short.
        each = min(self._batch, max(2 * self._batch // max(len(shards), 1), LEAST_BATCH))
        servers: dict[str, list[Shard]] = {}
        for shard in shards:
            servers.setdefault(server_of(self._client, shard.view.keys.meta), []).append(shard)
        rounds = (functools.partial(self._refresh_shards, group, serving, each) for group in servers.values())
        done = await asyncio.gather(*map(_unless_away, rounds))
        answered = (group for group, did in zip(servers.values(), done, strict=True) if did is not None)
        reached = list(chain.from_iterable(answered))
        batch = self._batch // 4 if any(done) else self._batch
        return bool(await _unless_away(functools.partial(self._sweep_next, reached, serving, batch))) or any(done)

    async def run(self, shards: Callable[[], Sequence[Shard]], room: ServingRoom) -> None:
        """Refresh for ever; without anything to do, wait until woken, and look again every half second."""
        while True:
            self._wake.clear()
            self.rounds += 1
            if room.current and await self.round(shards(), room.current):
                continue
            if not (room.current or room.is_model_due()):
                for shard in shards():
                    with contextlib.suppress(RedisTimeoutError):
                        await self.go_live(shard)
            if room.is_behind:  # lists of the live model can't be replaced: do not compute in vain all the time
                await asyncio.sleep(BEHIND_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), 0.5)
