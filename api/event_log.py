"""Appending to the log: what is answered was acknowledged by Kafka."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, NamedTuple, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from adapters.kafka import open_producer
from schemas.errors import NotReadyError
from schemas.topics import MAX_MESSAGE_BYTES

logger: Final = logging.getLogger(__name__)


class Record(NamedTuple):
    """A record to append."""

    topic: str
    partition: int
    key: bytes
    value: bytes


class Appended(NamedTuple):
    """Where a record stands in its partition, and when it was appended, ms."""

    offset: int
    appended_ms: int


class EventLog:
    """An idempotent producer that is replaced when it has failed for good."""

    def __init__(self, bootstrap_servers: str, timeout_s: float) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._timeout_s = timeout_s
        self._stack = AsyncExitStack()
        self._producer: AIOKafkaProducer
        self._replacing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _open(self) -> None:
        opened = open_producer(self._bootstrap_servers, linger_ms=0, max_request_size=2 * MAX_MESSAGE_BYTES)
        self._producer = await self._stack.enter_async_context(opened)

    async def append(self, records: Sequence[Record]) -> list[Appended]:
        """Return where the records stand once all are acknowledged by all replicas.

        Raises NotReadyError if that did not happen in time: whether they are in the log is unknown then, and since an
        event is merged once however often it stands there, they may be sent again.
        """
        producer = self._producer
        try:
            async with asyncio.timeout(self._timeout_s):
                appended = await self._send(producer, records)
        except TimeoutError:
            raise NotReadyError(f"Kafka did not acknowledge within {self._timeout_s:g} s") from None
        except KafkaError as error:
            await self._replace(producer)
            raise NotReadyError(f"Kafka refused: {error!r}") from None
        if min(appended).offset < 0:
            raise NotReadyError("Kafka took a record twice and does not say where it stands")
        return appended

    async def _send(self, producer: AIOKafkaProducer, records: Sequence[Record]) -> list[Appended]:
        sent = [await producer.send(one.topic, one.value, one.key, one.partition) for one in records]
        try:
            answers: list[Any] = [await future for future in sent]  # `gather` costs more than what it waits for
        finally:
            for future in sent:
                future.cancel() or future.cancelled() or future.exception()  # nobody waits for the others any more
        return [Appended(answer.offset, answer.timestamp) for answer in answers]

    async def _replace(self, failed: AIOKafkaProducer) -> None:
        """Open another producer: one that met an error it could not retry refuses all that follows."""
        async with self._replacing:
            if self._producer is not failed:
                return
            logger.warning("the producer failed and is replaced")
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._stack.aclose()
                    await self._open()
            except (KafkaError, TimeoutError) as error:
                logger.warning("a new producer could not be opened: %r", error)
