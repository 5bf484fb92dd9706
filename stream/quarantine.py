"""Records that break the code: passed over in the state, kept as dead letters, decided in `control` for every replay.

The order makes live state and replay agree whatever crashes: first the state passes over the record, atomically, only
if nobody has merged it, and with a note; then `control` says so; then the note goes.
"""

import logging
import time
from pathlib import Path
from typing import Final

from aiokafka import AIOKafkaProducer

from adapters.records import Record
from adapters.redis import Client, Script, patiently
from schemas.control import ControlState, RecordQuarantined, encode_control
from schemas.errors import InvalidEventError
from schemas.topics import CONTROL
from stream import metrics
from stream.dead_letters import DeadRecord, keep, write_dead_letters
from stream.halves import FREE, Odds, PoisonError
from stream.runs import Span
from stream.view import ShardView

logger: Final = logging.getLogger(__name__)

_SKIP: Final = Script(Path(__file__).with_name("skip.lua"))
_SETTLE: Final = Script(Path(__file__).with_name("settle.lua"))
_HOUR_S: Final = 3_600
_MAX_REASON: Final = 300


def quarantined(record: Record, error: PoisonError) -> RecordQuarantined:
    """Return the decision that a record is to be left out."""
    reason = str(error).encode(errors="replace")[:_MAX_REASON].decode(errors="ignore")
    return RecordQuarantined(topic=record.topic, partition=record.partition, offset=record.offset, reason=reason)


def dead_by(record: Record, decision: RecordQuarantined) -> DeadRecord:
    """Return the dead letter of a quarantined record."""
    return DeadRecord(record, InvalidEventError("", f"quarantined, it breaks the code: {decision.reason}"))


async def pass_over(client: Client, view: ShardView, span: Span, note: bytes = b"") -> str:
    """Let the state pass over the one record of a span; answer OK, SEEN if it was merged before, or why not."""
    args: list[bytes | str | int] = [view.nonce, span.first, span.records[0].offset, span.last, note]
    answer: bytes = await patiently(lambda: _SKIP.run(client, [view.keys.meta], args))
    return answer.decode()


def lately(control: ControlState, now_s: float) -> int:
    """Return how many records were quarantined within the hour, as far as they count against a worker that starts.

    A worker of a broken version leaves out one record a life, not `FREE` again; none at all, and one poisonous record
    at the head of a backlog would keep it from ever starting.
    """
    return min(sum(moment > (now_s - _HOUR_S) * 1_000 for moment in control.quarantined_ms), FREE - 1)


class Quarantine:
    """Leaves records out that break the code; one a worker, so that it notices when it is the code that is broken."""

    def __init__(self, client: Client, producer: AIOKafkaProducer, control: ControlState) -> None:
        self._client = client
        self._producer = producer
        self.odds = Odds(lately(control, time.time()))

    async def take_span(self, view: ShardView, span: Span, error: PoisonError) -> str:
        """Quarantine the one record of a span; answer as `pass_over`."""
        record = span.records[0]
        decision = await self._lay_aside(record, error)
        note = encode_control(decision)
        status = await pass_over(self._client, view, span, note)
        if status == "OK":
            await self.settle(view, note)
        return status

    async def take_activity(self, record: Record, error: PoisonError) -> None:
        """Quarantine a record of `activity`: no state is bound to its offset."""
        decision = await self._lay_aside(record, error)
        await keep(self._producer, CONTROL, encode_control(decision))

    async def settle(self, view: ShardView, note: bytes) -> None:
        """Write what is noted in a shard's meta to `control`; written twice it says the same."""
        await keep(self._producer, CONTROL, note)
        await patiently(lambda: _SETTLE.run(self._client, [view.keys.meta], [note]))

    async def _lay_aside(self, record: Record, error: PoisonError) -> RecordQuarantined:
        self.odds.broke(error)
        decision = quarantined(record, error)
        place = f"{record.topic}:{record.partition}:{record.offset}"
        logger.error("ALARM: %s breaks the code and is quarantined", place, exc_info=error)
        metrics.QUARANTINED.inc()
        await write_dead_letters(self._producer, [dead_by(record, decision)])
        return decision
