"""The refresh: dirty learners in, lists out. A stage of its own that never waits in the agent, nor the agent in it."""

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from adapters.redis import Client, Command, Script, ask_all, pairs_of, patiently, server_of
from schemas.candidates import VERSION_AT, VERSION_BYTES, Version, pack_version
from schemas.meta import Status
from stream.aside import Aside
from stream.lists import Marked, compute
from stream.marks import marked_ms
from stream.serving import Serving, ServingRoom
from stream.shards import Phase, Shard
from stream.view import ShardView

logger: Final = logging.getLogger(__name__)

T = TypeVar("T")

_PUBLISH: Final = Script(Path(__file__).with_name("publish.lua"))
_PATIENCE_S: Final = 15.0
OLDEST_SHARE: Final = 0.1
"""Share of a round for the oldest marks: the busy starve nobody."""


DRAWN_SHARE: Final = 0.1
"""Share that is drawn: whose mark is renewed again and again is neither among the newest for long nor ever old."""

LEAST_BATCH: Final = 4
"""The oldest, one that is drawn, and the newest."""

BEHIND_S: Final = 2.0
"""Pause after a round that published nothing while the live model can't be loaded."""

Pairs = list[tuple[bytes, float | bytes]]


class _Marks(NamedTuple):
    """Marks of a shard with their scores, and whether it has no others."""

    scores: dict[Marked, float]
    are_all: bool


class Refreshed(NamedTuple):
    """How many lists of a batch were published, and the shards all of whose marks it held."""

    published: int
    whole: frozenset[ShardView]


async def read(client: Client, learners: Sequence[Marked]) -> list[Any]:
    """Read learners at once: four hashes each."""
    hashes = [
        of_learner(user_id)
        for keys, user_id in ((one.view.keys, one.user_id) for one in learners)
        for of_learner in (keys.history, keys.feedback, keys.profile, keys.activity)
    ]
    return await ask_all(client, [("HGETALL", key) for key in hashes])


async def _soon(call: Callable[[], Awaitable[T]]) -> T:
    """Await what Redis answers for a shard; TimeoutError if its server is away for long."""
    async with asyncio.timeout(_PATIENCE_S):
        return await patiently(call)


async def _unless_away(work: Callable[[], Awaitable[bool]]) -> bool:
    """Await work on a shard; one whose server is away must not hold up the others: its marks stay."""
    try:
        return await work()
    except TimeoutError:
        logger.warning("a shard's server did not answer within %.0f s", _PATIENCE_S)
        return False


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
        # One thread: computing holds the interpreter most of the time, and a second one would only slow the loop.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="refresh")
        self.observe_freshness: Callable[[float], None] = lambda _seconds: None

    def wake(self) -> None:
        """Say that a learner was marked or that what lists are made with has changed."""
        self._wake.set()

    async def refresh(self, learners: Sequence[Marked], serving: Serving) -> int:
        """Compute and publish the lists of learners of shards on one server; return how many were published.

        While one batch is computed, the one before is published and the next one read.
        """
        own = [one for one in learners if not serving.waits(one.user_id)]
        batches = [own[first : first + self._batch] for first in range(0, len(own), self._batch)]
        return sum(await asyncio.gather(*(self._refresh_batch(batch, serving) for batch in batches)))

    async def _refresh_batch(self, batch: Sequence[Marked], serving: Serving) -> int:
        answers = await _soon(lambda: read(self._client, batch))
        work = functools.partial(compute, serving, batch, answers, self._limit)
        found = await asyncio.get_running_loop().run_in_executor(self._thread, work)
        self.rounds += 1
        self._aside.note(found)
        parts: dict[ShardView, list[bytes | str]] = {}
        for one, args in found.made:
            parts.setdefault(one.view, []).extend(args)
        return sum(await asyncio.gather(*(self._publish(view, args) for view, args in parts.items())))

    async def _publish(self, view: ShardView, args: Sequence[bytes | str]) -> int:
        """Publish lists of learners of one shard, four arguments each; return how many."""
        keys = view.keys
        declared = [keys.meta, keys.dirty]
        for user_id in args[::4]:
            declared += [keys.history(str(user_id)), keys.candidates(str(user_id)), keys.embedding(str(user_id))]
        answer: bytes = await _soon(lambda: _PUBLISH.run(self._client, declared, [view.nonce, *args]))
        return answer.count(b"1")

    async def _marks(self, batches: Mapping[ShardView, int]) -> dict[ShardView, _Marks]:
        """Return of each shard so many marks: the newest, and a share of the oldest and of any; none put aside."""
        limits = {view: size + self._aside.number(view) for view, size in batches.items()}

        # One more than can be done, to see whether there are.
        asked: list[Command] = [
            ("ZRANGE", view.keys.dirty, 0, limit, "REV", "WITHSCORES") for view, limit in limits.items()
        ]
        answers = await _soon(lambda: ask_all(self._client, asked))
        newest = {view: pairs_of(answer) for view, answer in zip(limits, answers, strict=True)}
        beyond = {view: limit for view, limit in limits.items() if len(newest[view]) > limit}
        others = await self._others(batches, beyond) if beyond else {}
        return {view: self._chosen(view, size, others.get(view, []), newest[view]) for view, size in batches.items()}

    async def _others(
        self, batches: Mapping[ShardView, int], limits: Mapping[ShardView, int]
    ) -> dict[ShardView, Pairs]:
        """Return a share of the oldest marks of shards with too many, and a share of any."""
        asked: list[Command] = []
        for view, limit in limits.items():
            size = batches[view]
            oldest, drawn = (max(1, int(size * share)) for share in (OLDEST_SHARE, DRAWN_SHARE))
            asked.append(("ZRANGE", view.keys.dirty, 0, oldest - 1 + limit - size, "WITHSCORES"))
            asked.append(("ZRANDMEMBER", view.keys.dirty, drawn, "WITHSCORES"))
        pairs = [pairs_of(answer) for answer in await _soon(lambda: ask_all(self._client, asked))]
        return {view: [*eldest, *lots] for view, eldest, lots in zip(limits, pairs[::2], pairs[1::2], strict=True)}

    def _chosen(self, view: ShardView, size: int, others: Pairs, newest: Pairs) -> _Marks:
        """Return the first `size` of these marks that are not put aside; without others these are all."""
        scores = {Marked(view, user.decode()): float(score) for user, score in [*others, *newest]}
        found = [(one, score) for one, score in scores.items() if not self._aside.holds(one)]
        return _Marks(dict(found[:size]), not others and len(found) <= size)

    async def refresh_marked(self, batches: Mapping[ShardView, int], serving: Serving) -> Refreshed:
        """Refresh so many dirty learners of each of these shards, all on one server."""
        found = await self._marks(batches)
        scores = {one: score for marks in found.values() for one, score in marks.scores.items()}
        published = await self.refresh(list(scores), serving) if scores else 0
        now_ms = time.time() * 1_000
        for score in scores.values():
            self.observe_freshness((now_ms - marked_ms(score)) / 1_000)
        return Refreshed(published, frozenset(view for view, marks in found.items() if marks.are_all))

    async def drain(self, view: ShardView, serving: Serving) -> None:
        """Refresh until no learner of the shard is dirty, or none can be published with this serving."""
        while (await self.refresh_marked({view: self._batch}, serving)).published:
            pass

    async def sweep(self, view: ShardView, serving: Serving, stood: str, batch: int) -> str:
        """Refresh one batch of all learners for new epochs, most recent first; return where the sweep stands.

        `stood` is the shard's `sweep`; the answer equals it when there was nothing left to do.
        """
        epochs = serving.swept
        cursor = stood.rpartition(" ")[2] if stood.startswith(epochs + " ") else "+inf"
        if cursor == "-inf":
            return stood
        bound = cursor if cursor == "+inf" else f"({cursor}"
        found: list[Any] = await _soon(
            lambda: self._client.zrange(
                view.keys.learners, bound, "-inf", desc=True, byscore=True, withscores=True, offset=0, num=batch
            )
        )
        behind = await self._behind(view, [user.decode() for user, _ in found], serving)
        if behind:
            await self.refresh([Marked(view, user_id) for user_id in behind], serving)
        stands = f"{epochs} {int(found[-1][1]) if len(found) == batch else '-inf'}"
        await _soon(lambda: view.guarded(self._client, sweep=stands))
        return stands

    async def _behind(self, view: ShardView, users: Sequence[str], serving: Serving) -> list[str]:
        """Return the learners whose list was made from other epochs than theirs."""

        async def read() -> list[Any]:
            pipeline = self._client.pipeline(transaction=False)
            for user_id in users:
                pipeline.getrange(view.keys.candidates(user_id), VERSION_AT, VERSION_AT + VERSION_BYTES - 1)
            return list(await pipeline.execute())

        versions = await _soon(read) if users else []
        wanted = (pack_version(Version(*serving.of(user_id).epochs, -1, -1))[:16] for user_id in users)
        pairs = zip(users, wanted, versions, strict=True)
        return [user_id for user_id, current, version in pairs if version[:16] != current]

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
        if await _soon(lambda: view.set_status(self._client, Status.LIVE)) and shard.view is view:
            shard.meta = shard.meta._replace(status=Status.LIVE)
            logger.info("shard %d is live", shard.partition)

    async def _sweep_next(self, shards: Sequence[Shard], serving: Serving, batch: int) -> bool:
        """Go on with the sweep of one shard that is not done; answer whether there was one."""
        for _ in shards:
            self._next_swept += 1
            shard = shards[self._next_swept % len(shards)]
            stands = await self.sweep(shard.view, serving, shard.meta.sweep, batch)
            if stands != shard.meta.sweep:
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
        batch = self._batch // 4 if any(done) else self._batch
        return await _unless_away(functools.partial(self._sweep_next, shards, serving, batch)) or any(done)

    async def run(self, shards: Callable[[], Sequence[Shard]], room: ServingRoom) -> None:
        """Refresh for ever; without anything to do, wait until woken, and look again every half second."""
        while True:
            self._wake.clear()
            self.rounds += 1
            if room.current and await self.round(shards(), room.current):
                continue
            if not (room.current or room.is_model_due()):
                for shard in shards():
                    with contextlib.suppress(TimeoutError):
                        await self.go_live(shard)
            if room.is_behind:  # lists of the live model can't be replaced: do not compute in vain all the time
                await asyncio.sleep(BEHIND_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), 0.5)
