"""Joining a run of records in memory and merging it on the server: the one way into a learner's history."""

import struct
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, cast

from adapters.records import Record
from adapters.redis import Client, Script
from recommender.fold import erased_through_us, updates
from schemas.control import ControlState
from schemas.events import Erased, LearnerEvent
from schemas.meta import HEADER_FIELD
from schemas.registers import Rank, join_record, kind_of
from stream.dead_letters import DeadRecord, sort_out
from stream.halves import breaking, sent
from stream.runs import Span
from stream.view import ShardView

JOINED: Final = 4_000
"""Records of a state that nobody looks at that are joined before any is merged: many are of one learner, whose merge
costs one. All may be of one learner, and Lua unpacks fewer than 8,000 fields."""
LEARNERS_A_CALL: Final = 500
"""A script stops the server for everybody: some milliseconds."""

DAMAGED: Final = "DAMAGED"
"""Answered where the state holds what no merge wrote: a key of another type, or a record that is cut short."""

_MERGE: Final = Script(Path(__file__).with_name("merge.lua"))
_ERASED, _FEEDBACK, _PROFILE = 1, 2, 4
_FEEDBACK_KIND: Final = int(Rank.FEEDBACK)
_SIZE: Final = struct.Struct(">H")
_VERSION: Final = struct.Struct(">QQQ")


@dataclass
class LearnerUpdate:
    """The joined registers of one learner in a run, packed; `offset` is the learner's last in it."""

    records: dict[str, bytes] = field(default_factory=dict)
    feedback: dict[str, bytes] = field(default_factory=dict)
    profile: dict[str, bytes] = field(default_factory=dict)
    offset: int = -1
    erased_through_us: int = 0
    erased_offset: int = -1

    def take(self, event: LearnerEvent, offset: int, appended_ms: int) -> None:
        """Join one more event."""
        self.offset = max(self.offset, offset)
        if isinstance(event, Erased):
            self.erased_through_us = max(self.erased_through_us, erased_through_us(appended_ms))
            self.erased_offset = max(self.erased_offset, offset)
        for course_id, register in updates(event):
            kind = kind_of(register)
            if course_id is None:
                name = str(kind)
                self.profile[name] = max(self.profile.get(name, b""), register)
            elif kind == _FEEDBACK_KIND:
                self.feedback[course_id] = max(self.feedback.get(course_id, b""), register)
            elif (known := self.records.get(course_id)) is None:
                self.records[course_id] = register
            else:
                self.records[course_id] = join_record(known, {kind: register})


class Run(NamedTuple):
    """What the offsets `first` to `last` of a shard add up to."""

    first: int
    last: int
    updates: dict[str, LearnerUpdate]
    dead: list[DeadRecord]
    num_records: int


class FirstEnrolments(NamedTuple):
    """Courses a learner enrolled in for the first time, in the log's order, and what stood before the run.

    `stood_before`: the packed list (None: none); `taken`: the courses of the history.
    """

    user_id: str
    stood_before: bytes | None
    taken: frozenset[str]
    course_ids: tuple[str, ...]


class MergeCall(NamedTuple):
    """What `merge.lua` is called with, and the learners in it by their place."""

    keys: list[str]
    args: list[bytes | str | int]
    users: list[str]


class Wanted(StrEnum):
    """What is asked of a merge beside merging, in the words of `merge.lua`."""

    NOTHING = ""
    FIRSTS = "first enrolments"
    PENDING_LEFT = "pending writes"
    """Writes that the live generation has yet to merge are left noted: this one is built beside it."""


class MergeAnswer(NamedTuple):
    """`OK`, or why nothing was merged: `GAP`, `NONCE`, `ABSENT`, `RETIRED`, `DAMAGED`."""

    status: str
    first_enrolments: tuple[FirstEnrolments, ...] = ()


def join_run(records: Sequence[Record], first: int, last: int, control: ControlState) -> Run:
    """Return what consecutive records add up to. Joining before sending changes nothing but the bytes sent."""
    joined: dict[str, LearnerUpdate] = {}
    good, dead = sort_out(records, control)
    for record, event in good:
        update = joined.get(event.user_id) or joined.setdefault(event.user_id, LearnerUpdate())
        update.take(cast(LearnerEvent, event), record.offset, record.timestamp)  # the topic holds no others
    return Run(first, last, joined, dead, len(records))


def by_learners(run: Run, at_once: int) -> Iterator[Run]:
    """Cut a run into runs of so many learners: the last has its offsets, those before it none, so they join early.

    Only where nobody looks at the state before the last one: until then it holds more than `applied` says.

    >>> run = Run(5, 9, {name: LearnerUpdate() for name in "abc"}, [], 5)
    >>> [(part.first, part.last, "".join(part.updates)) for part in by_learners(run, 2)]
    [(5, 4, 'ab'), (5, 9, 'c')]
    """
    updates = list(run.updates.items())
    parts = [dict(updates[i : i + at_once]) for i in range(0, len(updates), at_once)] or [{}]
    for early in parts[:-1]:
        yield Run(run.first, run.first - 1, early, [], 0)
    yield run._replace(updates=parts[-1])


def _pack_fields(fields: dict[str, bytes]) -> bytes:
    parts = [_SIZE.pack(len(fields))]
    for name, packed in fields.items():
        key = name.encode()
        parts += [bytes([len(key)]), key, _SIZE.pack(len(packed)), packed]
    return b"".join(parts)


def pack_update(user_id: str, update: LearnerUpdate) -> bytes:
    """Return an update as `merge.lua` reads it.

    u8 flags (1 erased, 2 feedback, 4 profile), u8 length, user id; u64 offset + 1, u64 erasure threshold as the head of
    a stamp (0: none), u64 offset + 1 of the erasure; then sections of fields (u16 number; each u8 length, name, u16
    length, packed): records, and as flagged feedback, profile. Big-endian.
    """
    flags = _ERASED * (update.erased_offset >= 0) | _FEEDBACK * bool(update.feedback) | _PROFILE * bool(update.profile)
    user = user_id.encode()
    threshold = update.erased_through_us << 4 | 15 if update.erased_through_us else 0
    parts = [bytes([flags, len(user)]), user]
    parts.append(_VERSION.pack(update.offset + 1, threshold, update.erased_offset + 1))
    parts.append(_pack_fields(update.records))
    parts += [_pack_fields(fields) for fields in (update.feedback, update.profile) if fields]
    return b"".join(parts)


def _learner_keys(view: ShardView, user_id: str, update: LearnerUpdate) -> list[str]:
    keys, erased = view.keys, update.erased_offset >= 0
    declared = [keys.history(user_id), keys.candidates(user_id), keys.pending(user_id)]
    if update.feedback or erased:
        declared.append(keys.feedback(user_id))
    if update.profile or erased:
        declared.append(keys.profile(user_id))
    if erased:
        declared += [keys.activity(user_id), keys.embedding(user_id)]
    return declared


def _decoded(held: Sequence[bytes]) -> frozenset[str]:
    """Return the courses among a history's fields."""
    return frozenset(field.decode() for field in held) - {HEADER_FIELD}


def merge_call(view: ShardView, run: Run, wanted: Wanted = Wanted.NOTHING) -> MergeCall:
    """Return the call that merges a run. Pure."""
    keys = view.keys
    declared = [keys.meta, keys.counts, keys.dirty, keys.learners]
    args: list[bytes | str | int] = [
        view.nonce, run.first, run.last, int(time.time() * 1_000), wanted.value,
    ]  # fmt: skip
    for user_id, update in run.updates.items():
        declared += _learner_keys(view, user_id, update)
        args += [update.offset, pack_update(user_id, update)]
    return MergeCall(declared, args, list(run.updates))


async def send_merge(client: Client, call: MergeCall) -> MergeAnswer:
    """Merge in one atomic call; answer why not if the state is not the one known."""
    answer = await _MERGE.run(client, call.keys, call.args)
    firsts = tuple(
        FirstEnrolments(call.users[place], stood or None, _decoded(held), tuple(course.decode() for course in courses))
        for place, stood, held, *courses in (answer[1:] if answer[0] == b"OK" else ())
    )
    return MergeAnswer(answer[0].decode(), firsts)


async def merge_run(client: Client, view: ShardView, run: Run, wanted: Wanted = Wanted.NOTHING) -> MergeAnswer:
    """Merge a run into the shard in one atomic call; answer why not if the state is not the one known."""
    return await send_merge(client, merge_call(view, run, wanted))


async def merge_span(
    client: Client,
    view: ShardView,
    span: Span,
    control: ControlState,
    wanted: Wanted = Wanted.NOTHING,
    dead: Callable[[Sequence[DeadRecord]], Awaitable[None]] | None = None,
    for_s: float | None = None,
    unseen: bool = False,
) -> tuple[Run, MergeAnswer]:
    """Join a span and merge it, patient with Redis for `for_s`; `dead` is awaited before with what is no event.

    `unseen`: nobody looks at the state, so that it may be merged `LEARNERS_A_CALL` at a time. Raises PoisonError if a
    record in it breaks the joining or the script.
    """
    with breaking():
        run = join_run(span.records, span.first, span.last, control)
        parts = by_learners(run, LEARNERS_A_CALL) if unseen else (run,)
        calls = [merge_call(view, part, wanted) for part in parts]
    if run.dead and dead:
        await dead(run.dead)
    for call in calls:
        answer = await sent(partial(send_merge, client, call), for_s)
        if answer.status != "OK":
            break
    return run, answer
