"""What stood at a moment of the past, from the log and the bundle store alone: no Redis, no worker, nothing written.

A list is made as a refresh would have made it at that moment: with the model then live, the catalogue, the history and
the popularity of then. Who was erased since has no past.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Self, cast

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from adapters.bundles import BundleStore
from adapters.follow import Catalogue, ControlLog, Follower
from adapters.kafka import open_reader, records_held, shard_of
from adapters.records import Record
from recommender.fold import Fold, FoldedLearner, erased_through_us
from recommender.history import Learner, learner_of
from recommender.popularity import Counts, counted_day
from schemas.activity import MAX_COURSES, SEARCHES, TTL_S, pack_moment, pack_searches
from schemas.candidates import Version
from schemas.control import ControlState
from schemas.courses import Course
from schemas.errors import NotReadyError
from schemas.events import ActivityEvent, AnyEvent, Erased, LearnerEvent
from schemas.meta import Header
from schemas.settings import Connections
from schemas.topics import ACTIVITY, LEARNER_EVENTS
from stream.activity import ActivityUpdate
from stream.dead_letters import sort_out
from stream.digest import fold_range, range_as_of
from stream.lists import has_own_list
from stream.serving import Serving, ServingRoom
from stream.settings import CANDIDATES


class PastControl(ControlLog):
    """The topic `control`: `state` is what it said at a moment, `present` what it says now."""

    def __init__(self, bootstrap_servers: str, until_ms: int) -> None:
        super().__init__(bootstrap_servers)
        self._until_ms = until_ms
        self.present = ControlState()

    async def __aenter__(self) -> Self:
        """Read to the end. NotReadyError if there was no model then."""
        await Follower.__aenter__(self)
        if not self.state.model_version:
            raise NotReadyError("no model was live at that moment: choose a later one")
        return self

    def take(self, record: ConsumerRecord) -> None:
        """Fold one decision."""
        self.present = self.present.apply(record.value or b"", record.offset, record.timestamp)
        if record.timestamp <= self._until_ms:
            super().take(record)


class PastCatalogue(Catalogue):
    """The topic `courses` at a moment. Of a course changed since, compaction may have left the later record alone."""

    def __init__(self, bootstrap_servers: str, until_ms: int) -> None:
        super().__init__(bootstrap_servers)
        self._until_ms = until_ms
        self._later = Catalogue(bootstrap_servers)
        self._taken = 0
        self._first_later = -1

    def take(self, record: ConsumerRecord) -> None:
        """Fold one course."""
        if record.timestamp <= self._until_ms:
            self._taken += 1
            super().take(record)
        else:
            self._first_later = record.offset if self._first_later < 0 else self._first_later
            self._later.take(record)

    @property
    def is_whole(self) -> bool:
        """Whether nothing of that time was compacted away."""
        return self._taken == (self._first_later if self._first_later >= 0 else self.epoch + 1)

    def complete_from_present(self) -> None:
        """Take courses whose record of then is gone as they stand now; some may not have been there then."""
        if not self.is_whole:
            self.courses = {**self._later.courses, **self.courses}


@dataclass
class PastLearner:
    """One learner as of a moment. `is_erased`: an erasure came since, and took what it covers."""

    folded: FoldedLearner = field(default_factory=FoldedLearner)
    activity: dict[str, bytes] = field(default_factory=dict)
    header: Header = field(default_factory=Header)
    is_erased: bool = False

    @property
    def learner(self) -> Learner:
        """Return the learner as the recommender sees one."""
        folded = self.folded
        return learner_of(folded.records, folded.feedback, folded.profile, self.activity)


@dataclass(frozen=True)
class Past:
    """All that a learner's list is made from, and the list; `packed` is None for a learner without an own one.

    `control`: what it said then. `exact`: which parts are just what they were then. Popularity never is: a list keeps
    that of when it was made.
    """

    serving: Serving
    control: ControlState
    catalogue: Mapping[str, Course]
    learner: PastLearner
    packed: bytes | None
    shard: int
    applied: int
    exact: dict[str, bool]


def counts_of(fold: Fold) -> Counts:
    """Return current enrolments by course and day of all learners."""
    counts: dict[str, dict[int, int]] = {}
    for learner in fold.learners.values():
        for course_id, packed in learner.records.items():
            day = counted_day(packed)
            if day is not None:
                days = counts.setdefault(course_id, {})
                days[day] = days.get(day, 0) + 1
    return counts


class _Reader:
    """Reads one learner's records of a moment."""

    def __init__(self, reader: AIOKafkaConsumer, user_id: str, until_ms: int, control: ControlState) -> None:
        self._reader = reader
        self._user_id = user_id
        self._until_ms = until_ms
        self._control = control

    async def _events(self, partition: TopicPartition) -> AsyncIterator[tuple[Record, AnyEvent]]:
        """Yield the learner's events of a partition, up to now."""
        async for held in records_held(self._reader, [partition]):
            for record, event in sort_out([held], self._control)[0]:
                if event.user_id == self._user_id:
                    yield record, event

    async def learner(self, partition: TopicPartition, end: int) -> PastLearner:
        """Fold the learner up to an offset, and erasures up to now."""
        past, last, erased = PastLearner(), -1, -1
        async for record, event in self._events(partition):
            if record.offset < end:
                past.folded.apply(cast(LearnerEvent, event), record.timestamp)  # the topic holds no others
                last = record.offset
                erased = record.offset if isinstance(event, Erased) else erased
            elif isinstance(event, Erased):
                past.folded.erase(erased_through_us(record.timestamp))
                past.is_erased = True
        past.header = Header(last, -1, past.folded.erased_through_us, erased)
        return past

    async def add_activity(self, partition: TopicPartition, past: PastLearner) -> None:
        """Join the learner's activity up to the moment, as far as it had not expired."""
        update, last_ms, lives_ms = ActivityUpdate(), 0, TTL_S * 1_000
        async for record, event in self._events(partition):
            if record.timestamp > self._until_ms:
                break
            if record.timestamp - last_ms > lives_ms:
                update = ActivityUpdate(offset=update.offset, marks=update.marks)
            last_ms = record.timestamp
            if event.occurred_us > past.folded.erased_through_us:
                update.take(cast(ActivityEvent, event), record.offset)  # the topic holds no others
        if self._until_ms - last_ms <= lives_ms:
            past.activity = _packed(update)
        if update.marks:
            past.header = past.header._replace(activity_offset=update.offset)


def _packed(update: ActivityUpdate) -> dict[str, bytes]:
    """Return activity as the learner's hash would hold it."""
    fields = {name: pack_moment(moment_us) for name, moment_us in list(update.fields.items())[:MAX_COURSES]}
    return {**fields, SEARCHES: pack_searches(update.searches)} if update.searches else fields


async def _serving(
    connections: Connections, control: PastControl, catalogue: PastCatalogue, counts: Counts, user_id: str
) -> Serving:
    version = control.state.model_version
    catalogue.complete_from_present()
    room = ServingRoom(BundleStore(connections.bundle_url, connections.bundle_cache), control, catalogue)
    room.take_counts({course_id: dict(days) for course_id, days in counts.items()})
    await room.refresh()
    if room.current is None:
        raise NotReadyError(f"the bundle of model {version}, then live, can't be had from {connections.bundle_url}")
    experiment = control.state.experiment
    if experiment and (own := experiment.model_of(user_id)) and not room.current.split.model_of(user_id):
        raise NotReadyError(f"the bundle of model {own}, then of an arm, can't be had from {connections.bundle_url}")
    return room.current


def _listed(serving: Serving, user_id: str, learner: PastLearner, until_ms: int) -> bytes | None:
    if not has_own_list(learner.learner):
        return None
    recommender, epochs = serving.of(user_id)
    version = Version(*epochs, learner.header.learner_offset, learner.header.activity_offset)
    return recommender.rank([learner.learner], CANDIDATES)[0].pack(version, until_ms * 1_000)


async def past_of(connections: Connections, user_id: str, until_ms: int) -> Past:
    """Return what a learner's list would have been made from at an append time, and the list."""
    bootstrap = connections.kafka_bootstrap_servers
    async with (
        PastControl(bootstrap, until_ms) as control,
        PastCatalogue(bootstrap, until_ms) as catalogue,
        open_reader(bootstrap) as reader,
    ):
        now, read = control.present, await range_as_of(reader, until_ms)
        shard = shard_of(user_id, now.partitions)
        events, activity = TopicPartition(LEARNER_EVENTS, shard), TopicPartition(ACTIVITY, shard)
        own = _Reader(reader, user_id, until_ms, now)
        learner = await own.learner(events, read.ends[events])
        await own.add_activity(activity, learner)
        counts = counts_of(await fold_range(reader, read, now))
        serving = await _serving(connections, control, catalogue, counts, user_id)
        kept: dict[TopicPartition, int] = await reader.beginning_offsets([events, activity])
        exact = {
            "model": True,
            "catalogue": catalogue.is_whole,
            "history": kept[events] == 0 and not learner.is_erased,
            "activity": kept[activity] == 0 and not learner.is_erased,
            "popularity": False,
        }
        return Past(
            serving, control.state, catalogue.courses, learner,
            _listed(serving, user_id, learner, until_ms), shard, read.ends[events] - 1, exact,
        )  # fmt: skip
