"""The shards a worker owns: each is filled from the log until it has caught up, then fed by the agent.

The truth about what was merged is `applied` in the shard's meta, not a committed offset. Whenever the server answers
that a run does not follow what it has (a lost second of Redis, a restored backup, a redelivery after a rebalance, a
hole, an emptied server), the shard is paused, filled in the background and handed back.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Final, Protocol

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError

from adapters.follow import ControlLog
from adapters.kafka import open_reader
from adapters.records import Record
from adapters.redis import Client, is_passing, patiently
from adapters.topic_ids import read_topic_id
from schemas.errors import LogTruncatedError
from schemas.keys import ShardKeys
from schemas.meta import Meta, Status
from schemas.topics import LEARNER_EVENTS
from stream import metrics
from stream.dead_letters import DeadRecord, write_dead_letters
from stream.halves import PoisonError, by_halves
from stream.merge import DAMAGED, JOINED, MergeAnswer, Run, Wanted, merge_run, merge_span
from stream.quarantine import Quarantine
from stream.runs import CHUNK, Span, read_spans, runs_of
from stream.view import ShardView, open_shard, read_meta

logger: Final = logging.getLogger(__name__)


BACKLOG: Final = 2_000
"""Records of a shard that a filler merges sooner than the agent would: it first has to connect, but is much faster."""
PATIENCE_S: Final = 3.0
"""The agents wait so long for a server that is away or hangs; then its shards wait alone, and those of others go on."""
CHECK_S: Final = 2.0
"""A check is answered within so long."""
MISSED: Final = 3
"""A server that does not answer so many checks in a row is away; one alone may be this machine's own haste."""


class StateChangedError(Exception):
    """The state is not the one that was opened; it must be opened again. Says what the server answered."""


class Flow(Protocol):
    """How the agent's intake of one partition is stopped and set going again."""

    async def pause(self, partition: int) -> None:
        """Stop delivering a partition's records; waits while partitions are being assigned."""

    async def resume(self, partition: int, offset: int) -> None:
        """Deliver a partition's records from `offset` on."""

    def rejoin(self) -> None:
        """Join the group again, so that shards without an owner get one."""


class Phase(Enum):
    """What an owner does with a shard: fill it unseen, fill what is live and behind, or take what the agent brings."""

    FILLING = auto()
    BEHIND = auto()
    OPEN = auto()


class Shard:
    """One shard in this worker's hands."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.phase = Phase.FILLING
        self.view: ShardView
        self.meta: Meta
        self.applied = -1
        self.log = ""
        self.begin = 0
        self.is_opening = False
        self.advanced_at = asyncio.get_running_loop().time()
        self.filling: asyncio.Task[None] | None = None
        self.missed = 0

    def advance(self, applied: int) -> None:
        """Note that everything up to `applied` is merged."""
        if applied > self.applied:
            self.applied = applied
            self.advanced_at = asyncio.get_running_loop().time()


class ShardOwner:
    """Merges what comes in for the shards this worker owns.

    `merged` is called after each merge. First enrolments are asked for if `want_firsts()`, and only of what the agent
    took: what a filler merges was seen before, or too late.
    """

    def __init__(
        self,
        client: Client,
        control: ControlLog,
        producer: AIOKafkaProducer,
        bootstrap_servers: str,
        flow: Flow,
        merged: Callable[[Shard, Run, MergeAnswer], None],
        want_firsts: Callable[[], bool] = lambda: False,
    ) -> None:
        self._client = client
        self._control = control
        self._producer = producer
        self._bootstrap_servers = bootstrap_servers
        self._flow = flow
        self._merged = merged
        self._want_firsts = want_firsts
        self.quarantine = Quarantine(client, producer, control.state)
        self.shards: dict[int, Shard] = {}

    def open_shards(self) -> list[Shard]:
        """Return the shards that are whole, up to some end of the log: their lists are refreshed."""
        return [shard for shard in self.shards.values() if shard.phase != Phase.FILLING]

    def fed_shards(self) -> list[Shard]:
        """Return the shards that the agent feeds."""
        return [shard for shard in self.shards.values() if shard.phase == Phase.OPEN]

    def shards_to_refresh(self, at_once: int) -> list[Shard]:
        """Return the open shards, of those that are rebuilt the first few: they get whole one by one."""
        opened = self.open_shards()
        rebuilt = [shard for shard in opened if shard.meta.status == Status.BUILDING]
        later = {shard.partition for shard in rebuilt[at_once:]}
        return [shard for shard in opened if shard.partition not in later]

    def assign(self, partitions: Sequence[int]) -> None:
        """Own these partitions and no others."""
        self.release()
        for partition in partitions:
            shard = self.shards[partition] = Shard(partition)
            self.refill(shard)

    def release(self) -> None:
        """Own nothing."""
        for shard in self.shards.values():
            if shard.filling:
                shard.filling.cancel()
        self.shards = {}

    def refill(self, shard: Shard) -> None:
        """Fill a shard from what it has applied to the end of the log, then open it."""
        if self._owns(shard) and (shard.filling is None or shard.filling.done()):
            shard.phase = Phase.FILLING
            metrics.REFILLS.inc()
            shard.filling = asyncio.create_task(self._fill(shard), name=f"fill-{shard.partition}")

    def _owns(self, shard: Shard) -> bool:
        """Whether a shard is still in these hands: what was awaited may have taken long, or ignored its end."""
        return self.shards.get(shard.partition) is shard

    async def take(self, records: Sequence[Record]) -> None:
        """Merge records as the agent got them; those of a shard that is being filled are the filler's."""
        by_partition: dict[int, list[Record]] = {}
        for record in records:
            by_partition.setdefault(record.partition, []).append(record)
        await asyncio.gather(*(self._take_shard(number, batch) for number, batch in by_partition.items()))

    async def _take_shard(self, partition: int, records: Sequence[Record]) -> None:
        for run in runs_of(records):
            shard = self.shards.get(partition)
            if shard is None or shard.phase != Phase.OPEN:
                return
            span = Span(run, run[0].offset, run[-1].offset)
            try:
                wanted = Wanted.FIRSTS if self._want_firsts() else Wanted.NOTHING
                await self._merge(shard, shard.view, span, wanted, PATIENCE_S)
            except RedisError as error:
                self._wait_for(shard, error)
                return
            except StateChangedError as error:
                logger.warning("shard %d answered %s at offset %d", partition, error, span.first)
                self.refill(shard)
                return

    async def _merge(
        self, shard: Shard, view: ShardView, span: Span, wanted: Wanted = Wanted.NOTHING, for_s: float | None = None
    ) -> None:
        """Merge a span; a record in it that breaks the code is quarantined. Raises StateChangedError."""

        async def merge(part: Span) -> None:
            state = self._control.state
            unseen = shard.phase == Phase.FILLING
            run, answer = await merge_span(self._client, view, part, state, wanted, self._write_dead, for_s, unseen)
            if answer.status != "OK":
                raise StateChangedError(answer.status)
            self.quarantine.odds.worked(run.num_records - len(run.dead))
            shard.advance(run.last)
            self._merged(shard, run, answer)

        async def leave_out(part: Span, error: PoisonError) -> None:
            status = await self.quarantine.take_span(view, part, error)
            if status not in ("OK", "SEEN"):
                raise StateChangedError(status)
            shard.advance(part.last)

        await by_halves(span, Span.halves, merge, leave_out)

    async def _write_dead(self, dead: Sequence[DeadRecord]) -> None:
        await write_dead_letters(self._producer, dead)

    async def _fill(self, shard: Shard) -> None:
        await self._flow.pause(shard.partition)
        lost = False
        while self._owns(shard):
            try:
                end = await self._fill_to_end(shard, lost)
                break
            except StateChangedError as error:
                lost = str(error) == DAMAGED
                if lost:
                    logger.error("ALARM: the state of shard %d is damaged; it is rebuilt from the log", shard.partition)
                else:
                    logger.warning("shard %d changed while it was filled; filling it again", shard.partition)
            except LogTruncatedError as error:
                metrics.LOG_LOSSES.inc()
                logger.error("ALARM: %s; shard %d is rebuilt from what is left of the log", error, shard.partition)
                lost = True
            except KafkaError as error:
                logger.warning("filling shard %d: %r; trying again", shard.partition, error)
                lost = False
            await asyncio.sleep(0.2)
        if self._owns(shard):
            shard.phase = Phase.OPEN
            await self._flow.resume(shard.partition, end)

    async def _fill_to_end(self, shard: Shard, lost: bool) -> int:
        """Merge from `applied + 1` to the end that the log has now; return that end."""
        partition = TopicPartition(LEARNER_EVENTS, shard.partition)
        async with open_reader(self._bootstrap_servers) as reader:
            shard.is_opening = True
            try:
                end = await self._open(shard, reader, partition, lost)
            finally:
                shard.is_opening = False
            view = shard.view
            chunk = JOINED if shard.phase == Phase.FILLING else CHUNK
            async for span in read_spans(reader, partition, shard.applied + 1, end, chunk):
                if not self._owns(shard):
                    break
                await self._merge(shard, view, span)
        return end

    async def _open(self, shard: Shard, reader: AIOKafkaConsumer, partition: TopicPartition, lost: bool) -> int:
        """Take the shard's state into these hands, if the log goes on from it; return where the log ends."""
        log = await read_topic_id(reader, LEARNER_EVENTS)  # first: a topic made anew after it is found by the timer
        begin: int = (await reader.beginning_offsets([partition]))[partition]
        end: int = (await reader.end_offsets([partition]))[partition]
        keys = ShardKeys(shard.partition, self._control.state.generation)
        view, meta = await patiently(lambda: open_shard(self._client, keys, begin, lost))
        if meta.status in (Status.WIPING, Status.RETIRED):
            raise StateChangedError
        if meta.log and log and meta.log != log:
            raise LogTruncatedError(f"{partition.topic}:{partition.partition} was made anew, as topic {log}")
        if not begin <= meta.applied + 1 <= end:
            raise LogTruncatedError(
                f"{partition.topic}:{partition.partition} holds {begin} to {end}, the state has applied {meta.applied}"
            )
        nothing = Run(meta.applied + 1, meta.applied, {}, [], 0)
        answer = await patiently(lambda: merge_run(self._client, view, nothing))
        if answer.status != "OK":  # what all learners share may be damaged, with nothing to come
            raise StateChangedError(answer.status)
        if meta.applied < shard.applied and meta.status == Status.LIVE:  # readers were shown lists of a later state
            meta = await self._close(view, meta)
        if meta.quarantine:
            await self.quarantine.settle(view, meta.quarantine.encode())
        if log and meta.log != log and not await patiently(lambda: view.guarded(self._client, log=log)):
            raise StateChangedError
        shard.view, shard.meta, shard.applied = view, meta, meta.applied
        shard.log, shard.begin = log, begin
        shard.phase = Phase.BEHIND if meta.status == Status.LIVE else Phase.FILLING
        return end

    async def _close(self, view: ShardView, meta: Meta) -> Meta:
        """Keep readers from a state that went back, until its lists are made anew."""
        if not await patiently(lambda: view.set_status(self._client, Status.BUILDING)):
            raise StateChangedError
        return meta._replace(status=Status.BUILDING)

    def raise_failures(self) -> None:
        """Raise what ended a filler: its shard would never open."""
        for shard in self.shards.values():
            if shard.filling and shard.filling.done() and not shard.filling.cancelled():
                shard.filling.result()

    async def check(self, ends: dict[int, int], patience_s: float, log: str = "") -> None:
        """Refill fed shards whose state is not the one known, or whose log is not (`log` is the topic's id), or that
        for too long do not stand where the log ends, or stand far behind it.
        """
        await asyncio.gather(*(self._check_shard(shard, ends, patience_s, log) for shard in self.fed_shards()))

    async def reach(self) -> None:
        """Raise RedisError unless the servers of all owned shards take writes: one may be away, full or read-only."""
        keys = [ShardKeys(partition, self._control.state.generation).never for partition in self.shards]
        await asyncio.gather(*(self._client.set(key, b"", xx=True) for key in keys))

    async def _check_shard(self, shard: Shard, ends: dict[int, int], patience_s: float, log: str) -> None:
        now, known, before = asyncio.get_running_loop().time(), shard.applied, shard.meta
        try:
            async with asyncio.timeout(CHECK_S):
                meta = await read_meta(self._client, shard.view.keys)
        except (RedisError, TimeoutError) as error:
            shard.missed += 1
            if isinstance(error, RedisError) or shard.missed >= MISSED:
                self._wait_for(shard, error)
            return
        shard.missed = 0
        end = ends.get(shard.partition, known + 1)
        findings = {
            "state lost": meta is None or meta.nonce != shard.view.nonce or meta.applied < known,
            "closed again": meta is not None and before.status == Status.LIVE != meta.status,
            "log made anew": bool(log and shard.log and log != shard.log),
            "off the end": end != known + 1 and now - shard.advanced_at > patience_s,
            "far behind": end - known > BACKLOG,
        }
        if why := next((finding for finding, holds in findings.items() if holds), ""):
            logger.warning("shard %d: %s; filling it", shard.partition, why)
            self.refill(shard)
        elif meta and shard.meta is before:
            shard.meta = before._replace(sweep=meta.sweep)  # it may have gone back by as much as a server lost

    def _wait_for(self, shard: Shard, error: RedisError | TimeoutError) -> None:
        """Leave a shard whose server is away to its filler, which waits; raise an error that is no absence."""
        if isinstance(error, RedisError) and not is_passing(error):
            raise error
        logger.warning("shard %d is away: %r; filling it once it is back", shard.partition, error)
        self.refill(shard)
