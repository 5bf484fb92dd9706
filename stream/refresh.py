"""The refresh: dirty learners in, lists out. A stage of its own that never waits in the agent, nor the agent in it."""

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from adapters.redis import Client, Script, patiently
from recommender.history import Learner, learner_of
from recommender.listing import Ranked
from schemas.candidates import VERSION_AT, VERSION_BYTES, Version, pack_version
from schemas.embedding import pack_embedding
from schemas.meta import HEADER_FIELD, Header, Status, unpack_header
from stream.halves import Odds, PoisonError, each_by_halves
from stream.marks import marked_ms
from stream.serving import Serving, ServingRoom
from stream.shards import Phase, Shard
from stream.view import ShardView, by_name

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

Hashes = dict[bytes, bytes]


BEHIND_S: Final = 2.0
"""Pause after a round that published nothing while the live model can't be loaded."""


ASIDE_S: Final = 60.0
"""How long a learner whose list breaks the code is let be, his list as it was and his mark with it."""


class Loaded(NamedTuple):
    """A learner as read for a refresh: the header was read first, so the rest is at least as new."""

    user_id: str
    header: Header
    learner: Learner


def learner_from(answers: Sequence[Hashes]) -> tuple[Header, Learner]:
    """Return header and learner from the hashes history, feedback, profile, activity."""
    history, feedback, profile, activity = (by_name(fields) for fields in answers)
    header = unpack_header(history.pop(HEADER_FIELD, None))
    return header, learner_of(history, feedback, {int(kind): cell for kind, cell in profile.items()}, activity)


async def read(client: Client, view: ShardView, users: Sequence[str]) -> list[Hashes]:
    """Read learners of one shard in one pipeline: four hashes each."""
    keys = view.keys
    pipeline = client.pipeline(transaction=False)
    for user_id in users:
        for key in (keys.history(user_id), keys.feedback(user_id), keys.profile(user_id), keys.activity(user_id)):
            pipeline.hgetall(key)
    return list(await pipeline.execute())


def has_own_list(learner: Learner) -> bool:
    """Whether anything is known of a learner; for one without, a shared list stands and nothing is stored."""
    return bool(learner.entries or learner.signals or learner.queries or learner.profile != Learner().profile)


def _packed(loaded: Loaded, found: Ranked | None, epochs: tuple[int, int]) -> list[bytes | str]:
    """Return what `publish.lua` takes for one learner."""
    version = Version(*epochs, loaded.header.learner_offset, loaded.header.activity_offset)
    if found is None:
        return [loaded.user_id, pack_version(version), b"", b""]
    embedding = pack_embedding(version.model_epoch, found.embedding.tolist()) if found.embedding.size else b""
    return [loaded.user_id, pack_version(version), found.pack(version, time.time_ns() // 1_000), embedding]


class Refreshed(NamedTuple):
    """How many lists of a batch were published, and whether the batch held all marks of the shard."""

    published: int
    were_all: bool


class Computed(NamedTuple):
    """The learners of a batch whose lists are made, what `publish.lua` takes for each, and those who break the code."""

    users: list[str]
    args: list[bytes | str]
    broken: list[tuple[str, PoisonError]]


def _listed(serving: Serving, answers: Sequence[tuple[str, Sequence[Hashes]]], limit: int) -> list[list[bytes | str]]:
    """Return what `publish.lua` takes for each learner as read; long histories take their time here."""
    learners = [Loaded(user_id, *learner_from(answer)) for user_id, answer in answers]
    own = [one for one in learners if has_own_list(one.learner)]
    models = {one.user_id: serving.of(one.user_id) for one in learners}
    found: dict[str, Ranked] = {}
    for recommender in {model.recommender for model in models.values()}:
        part = [one for one in own if models[one.user_id].recommender is recommender]
        ranked = recommender.rank([one.learner for one in part], limit)
        found.update((one.user_id, result) for one, result in zip(part, ranked, strict=True))
    return [_packed(one, found.get(one.user_id), models[one.user_id].epochs) for one in learners]


def _compute(serving: Serving, users: Sequence[str], answers: Sequence[Hashes], limit: int) -> Computed:
    """Return the lists of a batch of learners; whoever breaks the code is left out."""
    read_of = [(user_id, answers[4 * i : 4 * i + 4]) for i, user_id in enumerate(users)]
    made, broken = each_by_halves(read_of, lambda part: _listed(serving, part, limit))
    args = [part for _, parts in made for part in parts]
    return Computed([user_id for (user_id, _), _ in made], args, [(user_id, error) for (user_id, _), error in broken])


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
        self._odds = Odds()
        self._aside: dict[tuple[str, str], float] = {}
        # One thread: computing holds the interpreter most of the time, and a second one would only slow the loop.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="refresh")
        self.observe_freshness: Callable[[float], None] = lambda _seconds: None

    def wake(self) -> None:
        """Say that a learner was marked or that what lists are made with has changed."""
        self._wake.set()

    async def refresh(self, view: ShardView, users: Sequence[str], serving: Serving) -> int:
        """Compute and publish the lists of learners of one shard; return how many were published."""
        users = [user_id for user_id in users if not serving.waits(user_id)]
        answers = await _soon(lambda: read(self._client, view, users))
        work = functools.partial(_compute, serving, users, answers, self._limit)
        made, args, broken = await asyncio.get_running_loop().run_in_executor(self._thread, work)
        self.rounds += 1
        self._put_aside(view, made, broken)
        keys = view.keys
        declared = [keys.meta, keys.dirty]
        for user_id in made:
            declared += [keys.history(user_id), keys.candidates(user_id), keys.embedding(user_id)]
        answer: bytes = await _soon(lambda: _PUBLISH.run(self._client, declared, [view.nonce, *args]))
        return answer.count(b"1")

    def _put_aside(self, view: ShardView, made: Sequence[str], broken: Sequence[tuple[str, PoisonError]]) -> None:
        """Let learners whose list breaks the code keep list and mark, and try again later."""
        self._odds.worked(len(made))
        for user_id in made:
            self._aside.pop((view.keys.prefix, user_id), None)
        for user_id, error in broken:
            place = view.keys.prefix, user_id
            if place not in self._aside:
                logger.error(
                    "ALARM: the list of a learner of shard %d breaks the code", view.keys.shard, exc_info=error
                )
                self._odds.broke(error)
            self._aside[place] = time.monotonic() + ASIDE_S

    def _is_aside(self, view: ShardView, user_id: str) -> bool:
        return self._aside.get((view.keys.prefix, user_id), 0.0) > time.monotonic()

    def _num_aside(self, view: ShardView) -> int:
        return sum(prefix == view.keys.prefix for prefix, _ in self._aside)

    async def _marks(self, view: ShardView, batch: int) -> tuple[dict[str, float], bool]:
        """Return the scores of the newest marks, and of a share of the oldest and of any, and whether these are all.

        Of who is put aside there are none.
        """
        oldest, drawn = (max(1, int(batch * share)) for share in (OLDEST_SHARE, DRAWN_SHARE))
        key, aside = view.keys.dirty, self._num_aside(view)

        async def read() -> list[Any]:
            pipeline = self._client.pipeline(transaction=False)
            pipeline.zrange(key, 0, batch - oldest - drawn - 1 + aside, desc=True, withscores=True)
            pipeline.zrange(key, 0, oldest - 1 + aside, withscores=True)
            pipeline.zrandmember(key, drawn, withscores=True)
            pipeline.zcard(key)
            return list(await pipeline.execute())

        newest, eldest, lots, marked = await _soon(read)
        pairs = [*newest, *eldest, *zip(lots[::2], lots[1::2], strict=True)]
        scores = {user.decode(): float(score) for user, score in pairs}
        found = [(user_id, score) for user_id, score in scores.items() if not self._is_aside(view, user_id)]
        return dict(found[:batch]), len(scores) == marked and len(found) <= batch

    async def refresh_marked(self, view: ShardView, serving: Serving, batch: int | None = None) -> Refreshed:
        """Refresh one batch of a shard's dirty learners."""
        marks, are_all = await self._marks(view, batch or self._batch)
        published = await self.refresh(view, list(marks), serving) if marks else 0
        now_ms = time.time() * 1_000
        for score in marks.values():
            self.observe_freshness((now_ms - marked_ms(score)) / 1_000)
        return Refreshed(published, are_all)

    async def drain(self, view: ShardView, serving: Serving) -> None:
        """Refresh until no learner of the shard is dirty, or none can be published with this serving."""
        while (await self.refresh_marked(view, serving)).published:
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
            await self.refresh(view, behind, serving)
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

    async def _refresh_shard(self, shard: Shard, serving: Serving, batch: int) -> bool:
        """Refresh a batch of one shard's marks; a shard that is building goes live once a batch held all of them.

        Not only when none is left: as long as events come in there may always be one.
        """
        view, is_rebuilt = shard.view, shard.meta.status == Status.BUILDING
        published, were_all = await self.refresh_marked(view, serving, self._batch if is_rebuilt else batch)
        if is_rebuilt and were_all and shard.view is view:
            await self.go_live(shard)
        return published > 0

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

    async def _round(self, shards: Sequence[Shard], serving: Serving) -> bool:
        """Refresh a batch of every shard's marks, and some of a sweep behind them; answer whether anything was done."""
        # Who enrols now waits for the round under way: with many shards it stays short, for hardly more work a learner.
        each = max(self._batch // max(len(shards), 1), self._batch // 4, LEAST_BATCH)
        rounds = (functools.partial(self._refresh_shard, shard, serving, each) for shard in shards)
        done = await asyncio.gather(*map(_unless_away, rounds))
        batch = self._batch // 4 if any(done) else self._batch
        return await _unless_away(functools.partial(self._sweep_next, shards, serving, batch)) or any(done)

    async def run(self, shards: Callable[[], Sequence[Shard]], room: ServingRoom) -> None:
        """Refresh for ever; without anything to do, wait until woken, and look again every half second."""
        while True:
            self._wake.clear()
            self.rounds += 1
            if room.current and await self._round(shards(), room.current):
                continue
            if not (room.current or room.is_model_due()):
                for shard in shards():
                    with contextlib.suppress(TimeoutError):
                        await self.go_live(shard)
            if room.is_behind:  # lists of the live model can't be replaced: do not compute in vain all the time
                await asyncio.sleep(BEHIND_S)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), 0.5)
