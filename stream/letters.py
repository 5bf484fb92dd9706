"""Reading dead letters, and publishing their records again."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.structs import RecordMetadata

from adapters.follow import ControlLog
from adapters.kafka import end_offsets, open_producer, open_reader, partitions_of, records_held, shard_of
from schemas import dead_letters as header
from schemas.errors import InvalidEventError
from schemas.events import decode_event
from schemas.settings import Connections
from schemas.topics import DEAD_LETTERS, MAX_MESSAGE_BYTES, Position
from stream.dead_letters import keep, key_beside
from stream.lag import LagReader, next_offset, open_lag_reader

PREVIEW_BYTES: Final = 1_000
_AT_ONCE: Final = 500
_LOOK_S: Final = 0.3


@dataclass(frozen=True)
class Letter:
    """A dead letter. `stands_at`: its partition and offset among the dead letters; `preview`: how its value begins."""

    position: Position
    stands_at: tuple[int, int]
    appended_ms: int
    field: str
    reason: str
    key: bytes | None
    preview: bytes
    num_bytes: int
    is_cut: bool = False
    retry_of: str = ""
    retried_as: str = ""


@dataclass(frozen=True)
class Retried:
    """What became of records published again: taken in, dead once more, or not read yet when the wait was over."""

    retried: int
    skipped: int
    """Letters that were cut, since their topic takes no record so large: no event is."""
    taken: int
    unknown: int
    died_again: list[Letter]


def letter_of(record: ConsumerRecord) -> Letter | None:
    """Return what a record among the dead letters says, or None if it says nothing a letter does."""
    said = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    try:
        position = Position.parse(":".join(said[name] for name in (header.TOPIC, header.PARTITION, header.OFFSET)))
        num_bytes = int(said.get(header.WHOLE_BYTES) or len(record.value or b""))
    except (KeyError, ValueError):
        return None
    return Letter(
        position,
        (record.partition, record.offset),
        record.timestamp,
        said.get(header.FIELD, ""),
        said.get(header.REASON, ""),
        record.key,
        (record.value or b"")[:PREVIEW_BYTES],
        num_bytes,
        header.WHOLE_BYTES in said,
        said.get(header.RETRY_OF, ""),
        said.get(header.RETRIED_AS, ""),
    )


async def _records(
    reader: AIOKafkaConsumer, begins: dict[TopicPartition, int] | None = None
) -> AsyncIterator[ConsumerRecord]:
    """Yield the dead letters as the log holds them now, from these offsets on."""
    async for record in records_held(reader, await partitions_of(reader, DEAD_LETTERS), begins):
        yield record


async def _fold(records: AsyncIterator[ConsumerRecord]) -> dict[Position, Letter]:
    """Return letters by where their record stood: one for each, however often it was written."""
    letters: dict[Position, Letter] = {}
    async for record in records:
        letter = letter_of(record)
        if letter is None:
            continue
        known = letters.get(letter.position)
        if known is None and not letter.retried_as:
            letters[letter.position] = letter
        elif known is not None and letter.retried_as:
            letters[letter.position] = replace(known, retried_as=letter.retried_as)
    return letters


async def read_letters(bootstrap_servers: str) -> list[Letter]:
    """Return all dead letters, oldest first."""
    async with open_reader(bootstrap_servers) as reader:
        letters = await _fold(_records(reader))
    return sorted(letters.values(), key=lambda letter: (letter.appended_ms, letter.stands_at))


def destination(letter: Letter, value: bytes | None, partitions: int) -> tuple[bytes | None, int]:
    """Return key and partition of a retry: those of its learner if the record names one, else of its key."""
    try:
        user_id = decode_event(value or b"").user_id
    except InvalidEventError:
        pass
    else:
        return user_id.encode(), shard_of(user_id, partitions)
    try:
        return letter.key, shard_of(letter.key.decode(), partitions) if letter.key else letter.position.partition
    except UnicodeDecodeError:
        return letter.key, letter.position.partition


class _Retry:
    """Publishes the records of letters again, and notes beside each letter where its record stands now."""

    def __init__(self, producer: AIOKafkaProducer, partitions: int) -> None:
        self._producer = producer
        self._partitions = partitions
        self.positions: dict[Position, Letter] = {}

    async def take(self, chosen: Sequence[tuple[Letter, bytes | None]]) -> None:
        """Publish records; a repetition after a crash publishes some twice, and events count once."""
        sent = await asyncio.gather(*(self._publish(letter, value) for letter, value in chosen))
        await asyncio.gather(*(self._note(letter, one) for (letter, _), one in zip(chosen, sent, strict=True)))

    async def _publish(self, letter: Letter, value: bytes | None) -> RecordMetadata:
        key, partition = destination(letter, value, self._partitions)
        of = [(header.RETRY_OF, str(letter.position).encode())]
        sent: RecordMetadata = await self._producer.send_and_wait(
            letter.position.topic, value, key_beside(value, key), partition=partition, headers=of
        )
        return sent

    async def _note(self, letter: Letter, sent: RecordMetadata) -> None:
        now = Position(sent.topic, sent.partition, sent.offset)
        self.positions[now] = letter
        place = letter.position
        said = {
            header.TOPIC: place.topic,
            header.PARTITION: str(place.partition),
            header.OFFSET: str(place.offset),
            header.RETRIED_AS: str(now),
        }
        await keep(self._producer, DEAD_LETTERS, b"", letter.key, [(name, one.encode()) for name, one in said.items()])


async def _publish_all(
    reader: AIOKafkaConsumer, retry: _Retry, chosen: Collection[Letter], progress: Callable[[int], None]
) -> None:
    by_place, waiting = {letter.stands_at: letter for letter in chosen}, list[tuple[Letter, bytes | None]]()
    async for record in _records(reader):
        letter = by_place.pop((record.partition, record.offset), None)
        if letter is not None:
            waiting.append((letter, record.value))
        if waiting and (not by_place or len(waiting) == _AT_ONCE):
            await retry.take(waiting)
            progress(len(waiting))
            waiting = []


async def _unread(lag: LagReader, positions: Collection[Position]) -> set[Position]:
    """Return those of these positions that no worker has got to."""
    found = (await lag.read()).partitions
    reached = {(one.topic, one.partition): next_offset(one.topic, 0, one.committed, one.applied) for one in found}
    return {place for place in positions if place.offset >= reached[place.topic, place.partition]}


async def _await_workers(connections: Connections, positions: Collection[Position], wait_s: float) -> set[Position]:
    """Wait until workers have got to these positions; return those they have not when the wait is over."""
    deadline = time.monotonic() + wait_s
    async with open_lag_reader(connections) as lag:
        while (unread := await _unread(lag, positions)) and time.monotonic() < deadline:  # noqa: ASYNC110 - a poll
            await asyncio.sleep(_LOOK_S)
    return unread


async def retry_letters(
    connections: Connections,
    chosen: Sequence[Letter],
    wait_s: float,
    progress: Callable[[int], None] = lambda _count: None,
) -> Retried:
    """Publish the records of letters again and see what becomes of them. Safe to repeat."""
    servers = connections.kafka_bootstrap_servers
    whole = [letter for letter in chosen if not letter.is_cut]
    async with (
        ControlLog(servers) as control,
        open_reader(servers) as reader,
        open_producer(servers, max_request_size=2 * MAX_MESSAGE_BYTES) as producer,
    ):
        begins = await end_offsets(reader, DEAD_LETTERS)
        retry = _Retry(producer, control.state.partitions)
        await _publish_all(reader, retry, whole, progress)
        unread = await _await_workers(connections, retry.positions, wait_s) if whole else set()
        again = await _fold(_records(reader, begins))
    died = [letter for position, letter in again.items() if position in retry.positions]
    unknown = len(unread - again.keys())
    taken = len(retry.positions) - unknown - len(died)
    return Retried(len(retry.positions), len(chosen) - len(whole), taken, unknown, died)
