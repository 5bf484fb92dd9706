"""Speed of a replay into a new generation, beside a consumer that decodes the same log and drops it, turn by turn."""

import asyncio
import time
from statistics import median
from typing import Final, NamedTuple

from aiokafka import TopicPartition

from adapters.kafka import end_offsets, open_reader
from bench.log import Backends, backends
from bench.zipf import zipf_events
from schemas.events import decode_event
from schemas.topics import LEARNER_EVENTS
from stream.replay import rebuild

TURNS: Final = 3
EVENTS: Final = 300_000
_POLLED: Final = 5_000


class ReplaySpeed(NamedTuple):
    """Events a second, medians of `TURNS` turns, of a log of `events`; `ratio` is the median of ours to the bare one.

    `half_events_per_s`: of a log of half the size, measured before the rest was written. Where a replay is linear,
    both are alike.
    """

    events_per_s: float
    ratio: float
    bare_events_per_s: float
    half_events_per_s: float
    half_ratio: float
    events: int


class _Turn(NamedTuple):
    replayed: float
    bare: float


async def _bare(bootstrap_servers: str) -> int:
    """Read the log as fast as aiokafka can, decode each record, and keep nothing."""
    read = 0
    async with open_reader(bootstrap_servers) as reader:
        ends = await end_offsets(reader, LEARNER_EVENTS)
        reader.assign(list(ends))
        await reader.seek_to_beginning()
        while read < sum(ends.values()):
            found: dict[TopicPartition, list[object]] = await reader.getmany(timeout_ms=500, max_records=_POLLED)
            for records in found.values():
                for record in records:
                    decode_event(record.value)  # type: ignore[attr-defined]  # aiokafka has no types
                read += len(records)
    return read


def _turn(running: Backends) -> _Turn:
    result = asyncio.run(rebuild(running.connections))
    began = time.perf_counter()
    read = asyncio.run(_bare(running.connections.kafka_bootstrap_servers))
    if read != result.events:
        raise AssertionError(f"{result.events} records were replayed, {read} read")
    return _Turn(result.events_per_s, read / (time.perf_counter() - began))


def _turns(running: Backends) -> tuple[float, float, float]:
    """Return the medians of ours, the bare one's, and their ratio."""
    turns = [_turn(running) for _ in range(TURNS)]
    return (
        median(one.replayed for one in turns),
        median(one.bare for one in turns),
        median(one.replayed / one.bare for one in turns),
    )


def measure(events: int = EVENTS) -> ReplaySpeed:
    """Return the speeds."""
    written = list(zipf_events(events, int(time.time())))
    with backends() as running:
        running.publish(written[: events // 2])
        half, _, half_ratio = _turns(running)
        running.publish(written[events // 2 :])
        whole, bare, ratio = _turns(running)
    return ReplaySpeed(round(whole), round(ratio, 3), round(bare), round(half), round(half_ratio, 3), events)
