"""An erasure followed through the views: what of a learner is left in Redis, and what the log says of him.

The stream erases by itself, in the generation that is live. What is left to do lies in other generations: a replay's
that nobody feeds, or one that was retired but not emptied to the end.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from aiokafka import ConsumerRecord, TopicPartition

from adapters.kafka import open_reader, records_held
from adapters.redis import Client
from recommender.fold import erased_through_us
from schemas.activity import SEARCHES, unpack_moment, unpack_searches
from schemas.candidates import unpack_version
from schemas.control import ControlState
from schemas.events import Erased
from schemas.keys import SHARED_META, ShardKeys
from schemas.meta import HEADER_FIELD, Meta, Status, unpack_header, unpack_meta
from schemas.pending import unpack_pending
from schemas.registers import split_record, unpack_stamp
from schemas.topics import ACTIVITY, DEAD_LETTERS, LEARNER_EVENTS
from stream.dead_letters import sort_out
from stream.merge import LearnerUpdate, Run, merge_run
from stream.view import ShardView, by_name, delete_state

PLACES: Final = (
    "history", "feedback", "profile", "activity", "list", "embedding", "pending writes", "refresh mark",
)  # fmt: skip
"""Where something of a learner stands in a generation."""


class Erasure(NamedTuple):
    """An erasure as it stands in the log: what is stamped at or before `through_us` is deleted."""

    user_id: str
    shard: int
    offset: int
    through_us: int


class Standing(NamedTuple):
    """A generation's shard, the learner's threshold there, and by place how many cells the erasure deletes."""

    keys: ShardKeys
    meta: Meta | None
    through_us: int
    left: dict[str, int]

    @property
    def is_live(self) -> bool:
        """Whether readers are served from it."""
        return self.meta is not None and self.meta.status == Status.LIVE

    @property
    def is_fed(self) -> bool:
        """Whether records may still be merged into it."""
        return self.meta is not None and self.meta.status not in (Status.RETIRED, Status.WIPING)

    @property
    def applied(self) -> int:
        """The last offset merged, -1 without a state."""
        return self.meta.applied if self.meta else -1

    def is_erased(self, erasure: Erasure) -> bool:
        """Whether nothing is left that the erasure deletes, and nothing of it can come back."""
        return not any(self.left.values()) and (not self.is_fed or self.through_us >= erasure.through_us)


def _is_covered(packed: bytes, through_us: int) -> bool:
    return any(unpack_stamp(one).occurred_us <= through_us for one in split_record(packed).values())


def _moments(activity: dict[str, bytes]) -> Iterator[int]:
    for name, packed in activity.items():
        yield from (moment for moment, _ in unpack_searches(packed)) if name == SEARCHES else (unpack_moment(packed),)


async def look(client: Client, keys: ShardKeys, erasure: Erasure) -> Standing:
    """Return what stands of the learner in one generation that the erasure deletes; meta is read first."""
    user_id = erasure.user_id
    pipeline = client.pipeline(transaction=False)
    hashes = (keys.meta, keys.history(user_id), keys.feedback(user_id), keys.profile(user_id), keys.activity(user_id))
    for key in (*hashes, keys.pending(user_id)):
        pipeline.hgetall(key)
    pipeline.get(keys.candidates(user_id))
    pipeline.exists(keys.embedding(user_id))
    pipeline.zscore(keys.dirty, user_id)
    meta, *found, packed_list, embedding, mark = await pipeline.execute()
    history, *beside = map(by_name, found)
    through_us = unpack_header(history.pop(HEADER_FIELD, None)).erased_through_us
    left = _count_left(erasure, [history, *beside], packed_list, embedding, mark)
    return Standing(keys, unpack_meta(meta), through_us, left)


def _count_left(
    erasure: Erasure, found: list[dict[str, bytes]], packed_list: bytes | None, embedding: int, mark: float | None
) -> dict[str, int]:
    """Return how many cells the erasure deletes, by place. A list made since was made from what came after it."""
    *registers, activity, pending = found
    is_old = packed_list is not None and unpack_version(packed_list).learner_offset < erasure.offset
    counts = (
        *(sum(_is_covered(one, erasure.through_us) for one in fields.values()) for fields in registers),
        sum(moment <= erasure.through_us for moment in _moments(activity)),
        int(is_old),
        int(bool(embedding) and (is_old or not packed_list)),
        sum(unpack_pending(one).offset <= erasure.offset for one in pending.values()),
        int(mark is not None and not any((*registers, activity))),
    )
    return dict(zip(PLACES, counts, strict=True))


def generations(state: ControlState, shard: int) -> list[ShardKeys]:
    """Return a shard in every generation that there can be beside the live one: earlier ones, and a replay's."""
    return [ShardKeys(shard, number) for number in range(state.generation + 2) if number != state.generation]


async def finish(client: Client, standing: Standing, erasure: Erasure) -> None:
    """Erase the learner in a generation that nobody feeds.

    A retired one is emptied to the end; into another the erasure is merged before its time: whoever fills it after all
    comes to the same state.
    """
    keys, meta = standing.keys, standing.meta
    if meta is None:
        names = (keys.history, keys.feedback, keys.profile, keys.activity, keys.candidates, keys.embedding)
        await client.delete(*(name(erasure.user_id) for name in names))
        await client.zrem(keys.dirty, erasure.user_id)
    elif meta.status in (Status.RETIRED, Status.WIPING):
        await delete_state(client, ShardView(keys, meta.nonce))
    else:
        offset = erasure.offset
        update = LearnerUpdate(offset=offset, erased_through_us=erasure.through_us, erased_offset=offset)
        run = Run(meta.applied + 1, meta.applied, {erasure.user_id: update}, [], 0)
        await merge_run(client, ShardView(keys, meta.nonce), run)


async def shared_lists_know(client: Client, erasure: Erasure) -> bool:
    """Whether the shared lists, if there are any, were made from counts without the learner."""
    counted: Any = await client.hget(SHARED_META, "counted")
    if not counted:
        return True
    return int(counted.decode().split(" ")[1:][erasure.shard]) >= erasure.offset


@dataclass
class LearnerLog:
    """What the log holds of one learner."""

    events: list[tuple[int, int]] = field(default_factory=list)
    """Offset and moment (us) of what the learner did."""
    erasures: list[tuple[int, int]] = field(default_factory=list)
    """Offset, and moment (us) through which it deletes."""
    activity: int = 0
    dead_letters: int = 0

    def take(self, record: ConsumerRecord, control: ControlState, user_id: str) -> None:
        """Note a record of `learner-events`, if it is one of this learner's."""
        for _, event in sort_out([record], control)[0]:
            if event.user_id == user_id and isinstance(event, Erased):
                self.erasures.append((record.offset, erased_through_us(record.timestamp)))
            elif event.user_id == user_id:
                self.events.append((record.offset, event.occurred_us))

    def is_known_before(self, end: int) -> bool:
        """Whether a model made from the learner's shard up to an offset was made with him."""
        through_us = max((through for offset, through in self.erasures if offset < end), default=-1)
        return any(offset < end and moment > through_us for offset, moment in self.events)


async def read_learner_log(bootstrap_servers: str, control: ControlState, erasure: Erasure) -> LearnerLog:
    """Read what the log holds of a learner: his shard of `learner-events` and `activity`, and all dead letters."""
    found, key = LearnerLog(), erasure.user_id.encode()
    own = [TopicPartition(topic, erasure.shard) for topic in (LEARNER_EVENTS, ACTIVITY)]
    async with open_reader(bootstrap_servers) as reader:
        async for record in records_held(reader, [*own, TopicPartition(DEAD_LETTERS, 0)]):
            if record.topic == LEARNER_EVENTS:
                found.take(record, control, erasure.user_id)
            elif record.key == key:
                found.activity += record.topic == ACTIVITY
                found.dead_letters += record.topic == DEAD_LETTERS
    return found
