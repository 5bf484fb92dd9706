"""Look-ups and pending writes on a real server: what is read at one moment, what is hidden, what is covered."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from adapters.follow import ControlLog
from adapters.kafka import shard_of
from adapters.redis import Client, Server, end_tasks
from api.event_log import EventLog
from api.lookup import Learners, Lookup
from api.publishing import PendingWrite, Publisher, pending_write
from api.shard_watch import ShardWatch
from api.trust import Trust
from schemas.candidates import CandidateList, Version, pack_candidates
from schemas.control import ControlState
from schemas.events import AnyEvent, Dropped, Enrolled, Feedback, ProfileUpdated, Viewed
from schemas.keys import ShardKeys
from schemas.meta import HEADER_FIELD, Header, Status, pack_header
from schemas.pending import TTL_S, Pending
from schemas.registers import FEEDBACK_CODES, Rank, join_record, pack_stamp, unpack_stamp
from schemas.topics import ACTIVITY, LEARNER_EVENTS, Position
from tests.waiting import until

USER = "u1"
KEYS = ShardKeys(0, 7)
ENROLLED = pack_stamp(1, Rank.ENROLLED, "e")


@pytest.fixture
def control() -> ControlLog:
    log = ControlLog("unused:1")
    log.state = ControlState(partitions=1, generation=7)
    return log


class Log:
    """Where the log ends, once somebody has read it."""

    def __init__(self) -> None:
        self.end: int | None = 0
        self.hurried = 0

    def end_since(self, shard: int, moment: float) -> int | None:
        """Return the end."""
        assert shard == 0 and moment > 0
        return self.end

    def hurry(self) -> None:
        """Count that it is wanted."""
        self.hurried += 1


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
async def learners(client: Client, control: ControlLog, log: Log) -> Learners:
    learners = Learners(client, control, ShardWatch(client, control, Trust(log), 1, 5), timeout_s=5)
    await learners.prepare()
    return learners


@pytest.fixture
def publisher(client: Client, control: ControlLog) -> Publisher:
    return Publisher(EventLog("unused:1", 5), client, control, timeout_s=5)


async def write_meta(client: Client, applied: int, status: str = "live") -> None:
    fields = {"generation": "7", "status": status, "nonce": "0" * 32, "applied": str(applied)}
    await client.hset(KEYS.meta, mapping=fields)  # type: ignore[arg-type]  # wider than dict is invariant


async def pend(publisher: Publisher, *written: tuple[str, int, Rank]) -> None:
    await publisher._pend([PendingWrite(USER, course_id, Pending(offset, rank)) for course_id, offset, rank in written])


async def test_a_learner_nobody_knows(learners: Learners) -> None:
    assert await learners.look_up(USER) == Lookup(0)


async def test_everything_is_read_at_once(client: Client, learners: Learners) -> None:
    await write_meta(client, 5, "building")
    header = Header(4, 2)
    await client.hset(KEYS.history(USER), mapping={HEADER_FIELD: pack_header(header), "c1": ENROLLED})
    refused = pack_stamp(1, Rank.FEEDBACK, "e") + bytes([FEEDBACK_CODES["not_for_me"]])
    useful = pack_stamp(1, Rank.FEEDBACK, "e") + bytes([FEEDBACK_CODES["useful"]])
    await client.hset(KEYS.feedback(USER), mapping={"c2": refused, "c3": useful})
    packed = pack_candidates(CandidateList(Version(1, 1, 4, 2), 9, (), ()))
    await client.set(KEYS.candidates(USER), packed)
    await client.zadd(KEYS.dirty, {USER: 1.0})
    found = await learners.look_up(USER)
    assert (found.status, found.applied, found.header, found.dirty) == (Status.BUILDING, 5, header, True)
    assert found.history == {"c1": ENROLLED}
    assert found.event_ids_of("c1") == [str(UUID(bytes=unpack_stamp(ENROLLED).event_id))]
    assert found.event_ids_of("c2") == []
    assert found.excluded == {"c1", "c2"}
    assert found.packed_list == packed
    assert found.state_version == "learner-events:0:4,activity:0:2"
    assert not found.is_live


async def test_a_pending_write_hides_its_course_until_it_is_merged(
    client: Client, learners: Learners, publisher: Publisher
) -> None:
    await write_meta(client, 5)
    await pend(publisher, ("old", 5, Rank.ENROLLED), ("new", 6, Rank.ENROLLED))
    assert (await learners.look_up(USER)).excluded == {"new"}
    assert 0 < await client.ttl(KEYS.pending(USER)) <= TTL_S
    await write_meta(client, 6)
    assert (await learners.look_up(USER)).excluded == frozenset()


async def test_the_greatest_offset_stays_and_an_enrolment_outranks_what_follows_from_it(
    learners: Learners, publisher: Publisher
) -> None:
    await pend(publisher, ("c", 9, Rank.ENROLLED), ("c", 7, Rank.DROPPED), ("c", 12, Rank.RATED))
    assert (await learners.look_up(USER)).pending == {"c": Pending(12, Rank.ENROLLED)}
    await pend(publisher, ("c", 13, Rank.DROPPED), ("c", 2**40, Rank.FEEDBACK))
    assert (await learners.look_up(USER)).pending == {"c": Pending(2**40, Rank.DROPPED)}
    await pend(publisher, ("e", 1, Rank.ENROLLED), ("e", 2, Rank.COMPLETED), ("e", 3, Rank.RATED))
    assert (await learners.look_up(USER)).completed == {"e"}
    await pend(publisher, ("e", 4, Rank.DROPPED))
    assert (await learners.look_up(USER)).completed == frozenset()
    await pend(publisher, ("d", 3, Rank.RATED), ("d", 2, Rank.ENROLLED))
    assert (await learners.look_up(USER)).pending["d"] == Pending(3, Rank.ENROLLED)


async def test_a_merged_write_gives_way_to_a_later_one(
    client: Client, learners: Learners, publisher: Publisher
) -> None:
    await pend(publisher, ("c", 9, Rank.ENROLLED))
    await write_meta(client, 9)
    await pend(publisher, ("c", 10, Rank.PROGRESSED))
    assert (await learners.look_up(USER)).pending == {"c": Pending(10, Rank.PROGRESSED)}


@pytest.mark.parametrize(
    ("event", "rank"),
    [
        (Enrolled(event_id="e", user_id=USER, course_id="c", occurred_at=1), Rank.ENROLLED),
        (Dropped(event_id="e", user_id=USER, course_id="c", occurred_at=1), Rank.DROPPED),
        (Feedback(event_id="e", user_id=USER, course_id="c", occurred_at=1, value="not_for_me"), Rank.FEEDBACK),
        (Feedback(event_id="e", user_id=USER, course_id="c", occurred_at=1, value="useful"), None),
        (ProfileUpdated(event_id="e", user_id=USER, occurred_at=1), None),
    ],
)
def test_what_is_noted_as_pending(event: AnyEvent, rank: Rank | None) -> None:
    written = pending_write(event, Position(LEARNER_EVENTS, 0, 3))
    assert written == (PendingWrite(USER, "c", Pending(3, rank)) if rank else None)


def test_what_counts_as_completed() -> None:
    enrolled, dropped = pack_stamp(1, Rank.ENROLLED, "e"), pack_stamp(9, Rank.DROPPED, "d")
    done = pack_stamp(5, Rank.COMPLETED, "f")
    records: dict[str, dict[int, bytes]] = {
        "enrolled": {Rank.ENROLLED: enrolled},
        "done": {Rank.ENROLLED: enrolled, Rank.COMPLETED: done},
        "alone": {Rank.COMPLETED: done},
        "left": {Rank.ENROLLED: dropped, Rank.COMPLETED: done},
    }
    history = {course_id: join_record(b"", registers) for course_id, registers in records.items()}
    assert Lookup(0, Status.LIVE, 5, history=history).completed == {"done", "alone"}
    assert Lookup(0, Status.BUILDING, 5, history=history).completed == frozenset()
    pending = {
        "enrolled": Pending(6, Rank.COMPLETED),
        "done": Pending(7, Rank.DROPPED),
        "alone": Pending(5, Rank.DROPPED),
    }
    assert Lookup(0, Status.LIVE, 5, history=history, pending=pending).completed == {"enrolled", "alone"}


def test_a_course_that_was_dropped_is_behind_no_reason() -> None:
    enrolled, dropped = pack_stamp(1, Rank.ENROLLED, "e"), pack_stamp(9, Rank.DROPPED, "d")
    history = {"kept": enrolled, "left": dropped, "leaving": enrolled}
    found = Lookup(0, Status.LIVE, 5, history=history, pending={"leaving": Pending(6, Rank.DROPPED)})
    assert [bool(found.event_ids_of(one)) for one in ("kept", "left", "leaving", "erased")] == [
        True,
        False,
        False,
        False,
    ]


def test_activity_is_never_pending() -> None:
    viewed = Viewed(event_id="e", user_id=USER, course_id="c", occurred_at=1)
    assert pending_write(viewed, Position(ACTIVITY, 0, 3)) is None


def _lookup(version: Version | None, applied: int, dirty: bool = False, status: Status = Status.LIVE) -> Lookup:
    packed = pack_candidates(CandidateList(version, 0, (), ())) if version else None
    return Lookup(2, status, applied, packed, Header(6, 4), dirty=dirty)


@pytest.mark.parametrize(
    ("found", "covers"),
    [
        (_lookup(Version(0, 0, 7, -1), 7), True),
        (_lookup(Version(0, 0, 6, -1), 6), False),
        (_lookup(Version(0, 0, 6, -1), 7), True),
        (_lookup(Version(0, 0, 6, -1), 7, dirty=True), False),
        (_lookup(Version(0, 0, 7, -1), 9, dirty=True), True),
        (_lookup(None, 7), True),
        (_lookup(None, 7, dirty=True), False),
        (_lookup(None, 6), False),
        (_lookup(None, 7, status=Status.BUILDING), False),
    ],
)
def test_when_a_position_is_covered(found: Lookup, covers: bool) -> None:
    assert found.covers(Position(LEARNER_EVENTS, 2, 7)) is covers
    assert found.covers(Position(LEARNER_EVENTS, 1, 99))


def test_when_a_position_of_activity_is_covered() -> None:
    assert _lookup(Version(0, 0, 6, 4), 6).covers(Position(ACTIVITY, 2, 4))
    assert not _lookup(Version(0, 0, 6, 3), 6, dirty=True).covers(Position(ACTIVITY, 2, 4))
    assert not _lookup(Version(0, 0, 6, 4), 6).covers(Position(ACTIVITY, 2, 5))


def test_the_shard_is_kafkas() -> None:
    assert {shard_of(f"u{number}", 4) for number in range(100)} == {0, 1, 2, 3}


@pytest.fixture
async def laned(client: Client, control: ControlLog) -> AsyncIterator[Publisher]:
    """A publisher whose client has a pipelined connection."""
    assert isinstance(client, Server)
    task = asyncio.create_task(client.pipeline_commands())

    async def is_open() -> bool:
        return bool(client.pipelined and client.pipelined.is_open)

    await until(is_open, "the connection")
    yield Publisher(EventLog("unused:1", 5), client, control, timeout_s=5)
    await end_tasks([task])


async def test_the_lane_notes_what_the_client_notes(client: Client, learners: Learners, laned: Publisher) -> None:
    await write_meta(client, 5)
    await client.script_flush()
    for offset in (6, 7):  # the server does not know the script at first
        await pend(laned, ("c1", offset, Rank.ENROLLED), ("c2", 3, Rank.ENROLLED))
        assert (await learners.look_up(USER)).pending == {"c1": Pending(offset, Rank.ENROLLED)}


async def test_what_the_lane_cannot_note_the_client_notes(client: Client, learners: Learners, laned: Publisher) -> None:
    await write_meta(client, 5)
    await client.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
    noting = [asyncio.create_task(pend(laned, (f"c{number}", 6, Rank.ENROLLED))) for number in range(9)]

    async def the_lane_waits() -> bool:
        return int((await client.info("clients"))["blocked_clients"]) == 1

    await until(the_lane_waits, "the lane's connection")
    await client.client_kill_filter(skipme=True, _type="normal")
    await client.client_unpause()
    await asyncio.gather(*noting)
    assert (await learners.look_up(USER)).pending.keys() == {f"c{number}" for number in range(9)}
