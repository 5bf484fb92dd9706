"""Producers: a steady rate of events over HTTP and straight to Kafka; each is repeated until it is acknowledged."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from adapters.kafka import open_producer
from schemas.events import convert_event, encode_event
from schemas.topics import LEARNER_EVENTS
from tests.chaos.api_client import ApiClient, UnavailableError
from tests.chaos.campus import Body, Campus, moments, utc_now
from tests.chaos.gaps import Gaps
from tests.chaos.record import SOFT, Record
from tests.chaos.stack import Stack

BATCH: Final = 10
SENDERS: Final = 4
_AGAIN_EVERY: Final = 12
"""Every so many batches hold an event that was acknowledged long ago."""
_DIRECT_EVERY: Final = 25
"""One of so many events goes straight to Kafka."""
_PAUSE_S: Final = 0.2
_SEND_S: Final = 20.0


class Producer:
    """Sends what a campus does, at `rate` events/s, for as long as it runs."""

    def __init__(self, stack: Stack, campus: Campus, record: Record, rate: float) -> None:
        self._stack = stack
        self._campus = campus
        self._record = record
        self._rate = rate
        self._random = Random(f"{campus.seed} again")
        self._due: asyncio.Queue[list[Body]] = asyncio.Queue(SENDERS)
        self._direct: asyncio.Queue[Body] = asyncio.Queue(BATCH)
        self.acks = Gaps()
        self.unknown = 0
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Send until told to stop; return once all that was sent is acknowledged."""
        left = self._record.unknown
        async with asyncio.TaskGroup() as tasks:
            for start in range(0, len(left), BATCH):
                await self._deliver_once(left[start : start + BATCH])
            self.acks.note()
            tasks.create_task(self._draw())
            tasks.create_task(self._publish_direct())
            for _ in range(SENDERS):
                tasks.create_task(self._send())

    def stop(self) -> None:
        """Draw nothing more."""
        self._stopping.set()

    async def _draw(self) -> None:
        """Hand out batches at the rate; what cannot be sent meanwhile is not drawn later."""
        batches = 0
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), BATCH / self._rate)
            batches += 1
            bodies = self._batch(batches)
            if batches * BATCH % _DIRECT_EVERY == 0 and bodies[-1]["type"] not in SOFT and not self._direct.full():
                self._direct.put_nowait(bodies.pop())
            await self._due.put(bodies)
        for _ in range(SENDERS):
            await self._due.put([])
        await self._direct.put({})

    def _batch(self, number: int) -> list[Body]:
        drawn = self._record.drawn
        times = moments(utc_now(), BATCH)
        bodies = [self._campus.event(drawn + i, at) for i, at in enumerate(times)]
        self._record.sent(bodies, drawn + BATCH)
        if number % _AGAIN_EVERY == 0 and self._record.acked:
            again = self._record.bodies[self._random.choice(self._record.acked)]
            bodies += [again] if again["type"] != "erased" else []
        return bodies

    async def _send(self) -> None:
        client = ApiClient(self._stack)
        try:
            while bodies := await self._due.get():
                await self._deliver(client, bodies)
        finally:
            await client.aclose()

    async def _deliver_once(self, bodies: Sequence[Body]) -> None:
        client = ApiClient(self._stack)
        try:
            await self._deliver(client, bodies)
        finally:
            await client.aclose()

    async def _deliver(self, client: ApiClient, bodies: Sequence[Body]) -> None:
        """Post a batch until it is acknowledged as a whole."""
        while True:
            try:
                answer = await client.ask("POST", "/v1/events", {"events": list(bodies)})
            except UnavailableError:
                self.unknown += len(bodies)
                await asyncio.sleep(_PAUSE_S)
                continue
            assert answer["accepted"] == len(bodies), answer
            self._record.acknowledged(bodies)
            self.acks.note()
            return

    async def _publish_direct(self) -> None:
        """Publish straight to Kafka; a producer that failed is replaced, its event sent again."""
        body: Body = {}
        while body or (body := await self._direct.get()):
            try:
                async with open_producer(self._stack.connections.kafka_bootstrap_servers) as producer:
                    while body or (body := await self._direct.get()):
                        await self._publish(producer, body)
                        body = {}
                    return
            except (KafkaError, TimeoutError, KeyError):  # KeyError: the system is down as a whole
                self.unknown += 1
                await asyncio.sleep(_PAUSE_S)

    async def _publish(self, producer: AIOKafkaProducer, body: Body) -> None:
        event = convert_event(body)
        async with asyncio.timeout(_SEND_S):
            sent = await producer.send_and_wait(LEARNER_EVENTS, encode_event(event), key=event.user_id.encode())
        self._record.acknowledged([body], sent.offset)
