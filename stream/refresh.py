"""The refresh: dirty learners in, lists out. A stage of its own that never waits in the agent, nor the agent in it."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

from adapters.redis import Client, Script, patiently
from recommender.history import Learner, learner_of
from recommender.listing import Ranked
from schemas.candidates import VERSION_AT, VERSION_BYTES, Version, pack_version
from schemas.embedding import pack_embedding
from schemas.meta import HEADER_FIELD, Header, Status, unpack_header
from stream.serving import Serving, ServingRoom
from stream.shards import Phase, Shard
from stream.view import ShardView, by_name

logger: Final = logging.getLogger(__name__)

_PUBLISH: Final = Script(Path(__file__).with_name("publish.lua"))
_PATIENCE_S: Final = 15.0
OLDEST_SHARE: Final = 0.15
"""Share of a round for the oldest marks, so that nobody is starved by the busy."""


class Loaded(NamedTuple):
    """A learner as read for a refresh: the header was read first, so the rest is at least as new."""

    user_id: str
    header: Header
    learner: Learner


@dataclass
class Mark:
    """A dirty learner and when the mark was set, ms."""

    user_id: str
    marked_ms: int


def learner_from(answers: Sequence[dict[bytes, bytes]]) -> tuple[Header, Learner]:
    """Return header and learner from the hashes history, feedback, profile, activity."""
    history, feedback, profile, activity = (by_name(fields) for fields in answers)
    header = unpack_header(history.pop(HEADER_FIELD, None))
    return header, learner_of(history, feedback, {int(kind): cell for kind, cell in profile.items()}, activity)


async def load(client: Client, view: ShardView, users: Sequence[str]) -> list[Loaded]:
    """Read learners of one shard in one pipeline."""
    keys = view.keys
    pipeline = client.pipeline(transaction=False)
    for user_id in users:
        for key in (keys.history(user_id), keys.feedback(user_id), keys.profile(user_id), keys.activity(user_id)):
            pipeline.hgetall(key)
    answers: list[Any] = await pipeline.execute()
    return [Loaded(user_id, *learner_from(answers[4 * i : 4 * i + 4])) for i, user_id in enumerate(users)]


def has_own_list(learner: Learner) -> bool:
    """Whether anything is known of a learner; for one without, the popular list stands and nothing is stored."""
    return bool(learner.entries or learner.signals or learner.queries or learner.profile != Learner().profile)


def _packed(loaded: Loaded, found: Ranked | None, epochs: tuple[int, int]) -> list[bytes | str]:
    """Return what `publish.lua` takes for one learner."""
    version = Version(*epochs, loaded.header.learner_offset, loaded.header.activity_offset)
    if found is None:
        return [loaded.user_id, pack_version(version), b"", b""]
    embedding = pack_embedding(version.model_epoch, found.embedding.tolist()) if found.embedding.size else b""
    return [loaded.user_id, pack_version(version), found.pack(version, time.time_ns() // 1_000), embedding]


def _compute(serving: Serving, learners: Sequence[Loaded], limit: int) -> list[bytes | str]:
    """Return the arguments of `publish.lua` for a batch of learners."""
    own = [one for one in learners if has_own_list(one.learner)]
    found = serving.recommender.rank([one.learner for one in own], limit)
    by_user = {one.user_id: result for one, result in zip(own, found, strict=True)}
    return [part for one in learners for part in _packed(one, by_user.get(one.user_id), serving.epochs)]


async def _in_time(work: Callable[[], Awaitable[bool]]) -> bool:
    """Await work on a shard; one whose server is away must not hold up the others: its marks stay."""
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return await work()
    except TimeoutError:
        logger.warning("a shard was not refreshed within %.0f s", _PATIENCE_S)
        return False


class Refresher:
    """Computes and publishes lists for the shards of one worker."""

    def __init__(self, client: Client, limit: int, batch: int) -> None:
        self._client = client
        self._limit = limit
        self._batch = batch
        self._wake = asyncio.Event()
        self._next_swept = 0
        # One thread: computing holds the interpreter most of the time, and a second one would only slow the loop.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="refresh")
        self.observe_freshness: Callable[[float], None] = lambda _seconds: None

    def wake(self) -> None:
        """Say that a learner was marked or that what lists are made with has changed."""
        self._wake.set()

    async def refresh(self, view: ShardView, users: Sequence[str], serving: Serving) -> int:
        """Compute and publish the lists of learners of one shard; return how many were published."""
        loaded = await patiently(lambda: load(self._client, view, users))
        args = await asyncio.get_running_loop().run_in_executor(self._thread, _compute, serving, loaded, self._limit)
        keys = view.keys
        declared = [keys.meta, keys.dirty]
        for user_id in users:
            declared += [keys.history(user_id), keys.candidates(user_id), keys.embedding(user_id)]
        answer: bytes = await patiently(lambda: _PUBLISH.run(self._client, declared, [view.nonce, *args]))
        return answer.count(b"1")

    async def _marks(self, view: ShardView) -> list[Mark]:
        """Return the newest marks, and a share of the oldest."""
        oldest = max(1, int(self._batch * OLDEST_SHARE))

        async def read() -> list[Any]:
            pipeline = self._client.pipeline(transaction=False)
            pipeline.zrange(view.keys.dirty, 0, self._batch - oldest - 1, desc=True, withscores=True)
            pipeline.zrange(view.keys.dirty, 0, oldest - 1, withscores=True)
            return list(await pipeline.execute())

        newest, eldest = await patiently(read)
        marked = {user.decode(): int(score) for user, score in [*newest, *eldest]}
        return [Mark(user_id, marked_ms) for user_id, marked_ms in marked.items()]

    async def refresh_marked(self, view: ShardView, serving: Serving) -> int:
        """Refresh one batch of a shard's dirty learners; return how many lists were published, -1 if none was dirty."""
        marks = await self._marks(view)
        if not marks:
            return -1
        published = await self.refresh(view, [mark.user_id for mark in marks], serving)
        now_ms = time.time() * 1_000
        for mark in marks:
            self.observe_freshness((now_ms - mark.marked_ms) / 1_000)
        return published

    async def drain(self, view: ShardView, serving: Serving) -> None:
        """Refresh until no learner of the shard is dirty, or none can be published with this serving."""
        while await self.refresh_marked(view, serving) > 0:
            pass

    async def sweep(self, view: ShardView, serving: Serving, stood: str, batch: int) -> str:
        """Refresh one batch of all learners for new epochs, most recent first; return where the sweep stands.

        `stood` is the shard's `sweep`; the answer equals it when there was nothing left to do.
        """
        epochs = f"{serving.model_epoch} {serving.catalogue_epoch}"
        cursor = stood.rpartition(" ")[2] if stood.startswith(epochs + " ") else "+inf"
        if cursor == "-inf":
            return stood
        bound = cursor if cursor == "+inf" else f"({cursor}"
        found: list[Any] = await patiently(
            lambda: self._client.zrange(
                view.keys.learners, bound, "-inf", desc=True, byscore=True, withscores=True, offset=0, num=batch
            )
        )
        behind = await self._behind(view, [user.decode() for user, _ in found], serving)
        if behind:
            await self.refresh(view, behind, serving)
        stands = f"{epochs} {int(found[-1][1]) if len(found) == batch else '-inf'}"
        await patiently(lambda: view.guarded(self._client, sweep=stands))
        return stands

    async def _behind(self, view: ShardView, users: Sequence[str], serving: Serving) -> list[str]:
        """Return the learners whose list was made from other epochs than these."""
        current = pack_version(Version(*serving.epochs, -1, -1))[:16]

        async def read() -> list[Any]:
            pipeline = self._client.pipeline(transaction=False)
            for user_id in users:
                pipeline.getrange(view.keys.candidates(user_id), VERSION_AT, VERSION_AT + VERSION_BYTES - 1)
            return list(await pipeline.execute())

        versions = await patiently(read) if users else []
        return [user_id for user_id, version in zip(users, versions, strict=True) if version[:16] != current]

    async def _refresh_shard(self, shard: Shard, serving: Serving) -> bool:
        """Refresh a batch of one shard's marks; a shard that is building goes live when none is left."""
        view = shard.view
        published = await self.refresh_marked(view, serving)
        if published < 0 and shard.view is view and shard.phase == Phase.OPEN and shard.meta.status == Status.BUILDING:
            await self.go_live(shard)
        return published > 0

    async def go_live(self, shard: Shard) -> None:
        """Let readers have a shard that was rebuilt, unless its state is lost again meanwhile."""
        view = shard.view
        if await patiently(lambda: view.set_status(self._client, Status.LIVE)) and shard.view is view:
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

    async def _round(self, shards: Sequence[Shard], serving: Serving) -> bool:
        """Refresh a batch of every shard's marks, and some of a sweep behind them; answer whether anything was done."""
        done = await asyncio.gather(*(_in_time(partial(self._refresh_shard, shard, serving)) for shard in shards))
        batch = self._batch // 4 if any(done) else self._batch
        return await _in_time(partial(self._sweep_next, shards, serving, batch)) or any(done)

    async def run(self, shards: Callable[[], Sequence[Shard]], room: ServingRoom) -> None:
        """Refresh for ever; without anything to do, wait until woken, and look again every half second."""
        while True:
            self._wake.clear()
            if room.current and await self._round(shards(), room.current):
                continue
            if not (room.current or room.is_model_due()):
                for shard in shards():
                    if shard.meta.status == Status.BUILDING:
                        await self.go_live(shard)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), 0.5)
