"""Activity: weak signals that are joined into soft state and mark learners dirty."""

import asyncio
import logging
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from aiokafka import AIOKafkaProducer
from redis.exceptions import RedisError

from adapters.records import Record
from adapters.redis import Client, Script, is_passing
from schemas.activity import (
    CLICKED,
    MAX_COURSES,
    MAX_SEARCHES,
    SHOWN,
    TTL_S,
    VIEWED,
    pack_moment,
    pack_searches,
)
from schemas.control import ControlState
from schemas.events import ActivityEvent, Clicked, Searched, Shown, Viewed
from stream.dead_letters import DeadRecord, sort_out, write_dead_letters
from stream.halves import breaking, by_halves, sent
from stream.marks import weak_score
from stream.quarantine import Quarantine
from stream.shards import PATIENCE_S
from stream.view import ShardView

logger: Final = logging.getLogger(__name__)

_ACTIVITY: Final = Script(Path(__file__).with_name("activity.lua"))
_OFFSET: Final = struct.Struct(">Q")
_PREFIXES: Final = {Viewed: VIEWED, Clicked: CLICKED, Shown: SHOWN}


@dataclass
class ActivityUpdate:
    """One learner's activity in a batch; what was only shown changes no list."""

    fields: dict[str, int] = field(default_factory=dict)
    searches: list[tuple[int, str]] = field(default_factory=list)
    offset: int = -1
    marks: bool = False

    def take(self, event: ActivityEvent, offset: int) -> None:
        """Join one event."""
        self.offset = max(self.offset, offset)
        self.marks |= not isinstance(event, Shown)
        if isinstance(event, Searched):
            self.searches.append((event.occurred_us, event.query))
        else:
            name = _PREFIXES[type(event)] + event.course_id
            self.fields[name] = max(self.fields.get(name, 0), event.occurred_us)


def join_activity(
    records: Sequence[Record], control: ControlState
) -> tuple[dict[int, dict[str, ActivityUpdate]], list[DeadRecord]]:
    """Return updates by shard and learner, and what is no event."""
    joined: dict[int, dict[str, ActivityUpdate]] = {}
    good, dead = sort_out(records, control)
    for record, event in good:
        update = joined.setdefault(record.partition, {}).setdefault(event.user_id, ActivityUpdate())
        update.take(cast(ActivityEvent, event), record.offset)  # the topic holds no others
    return joined, dead


def _arguments(user_id: str, update: ActivityUpdate) -> list[bytes | str | int]:
    marks, version = "1" if update.marks else "0", update.offset + 1
    args: list[bytes | str | int] = [user_id, _OFFSET.pack(version), -version, marks, len(update.fields)]
    for name, moment in update.fields.items():
        args += [name, pack_moment(moment)]
    args.append(pack_searches(update.searches))
    return args


def _call(view: ShardView, updates: dict[str, ActivityUpdate]) -> tuple[list[str], list[bytes | str | int]]:
    keys = view.keys
    declared = [keys.meta, keys.dirty, keys.learners]
    mark = repr(weak_score(int(time.time() * 1_000)))
    args: list[bytes | str | int] = [view.nonce, mark, TTL_S, MAX_COURSES, MAX_SEARCHES]
    for user_id, update in updates.items():
        declared += [keys.history(user_id), keys.activity(user_id)]
        args += _arguments(user_id, update)
    return declared, args


async def merge_activity(client: Client, view: ShardView, updates: dict[str, ActivityUpdate]) -> bool:
    """Join one shard's updates; False if its server is away: they are let go. A shard that is another's takes none.

    Raises PoisonError if they break the code.
    """
    with breaking():
        declared, args = _call(view, updates)
    try:
        await sent(lambda: _ACTIVITY.run(client, declared, args), PATIENCE_S)
    except RedisError as error:
        if not is_passing(error):
            raise
        logger.warning("activity of shard %d is let go: %s", view.keys.shard, error)
        return False
    return True


def _halves(records: Sequence[Record]) -> Sequence[Sequence[Record]]:
    middle = len(records) // 2
    return [records[:middle], records[middle:]] if middle else []


async def take_activity(
    client: Client,
    producer: AIOKafkaProducer,
    control: ControlState,
    views: dict[int, ShardView],
    records: Sequence[Record],
    quarantine: Quarantine,
    joined_in: Callable[[Mapping[str, ActivityUpdate]], None],
) -> None:
    """Join a batch of the topic; that of shards which are not open yet, or whose server is away, is let go: it is soft.

    `joined_in` is told what learners did, shard by shard.
    """

    async def take(part: Sequence[Record]) -> None:
        with breaking():
            joined, dead = join_activity(part, control)
        if dead:
            await write_dead_letters(producer, dead)
        parts = [(views[partition], updates) for partition, updates in joined.items() if partition in views]
        taken = await asyncio.gather(*(merge_activity(client, view, updates) for view, updates in parts))
        for (_, updates), is_taken in zip(parts, taken, strict=True):
            if is_taken:
                joined_in(updates)
        quarantine.odds.worked(len(part) - len(dead))

    await by_halves(records, _halves, take, lambda part, error: quarantine.take_activity(part[0], error))
