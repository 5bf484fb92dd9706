"""Shared lists on a real server: what they hold, when they are written, and that no reader sees half of one."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from adapters.bundles import BundleStore
from adapters.follow import Catalogue, ControlLog
from adapters.redis import Client
from recommender.grades import unpack_grades
from recommender.popularity import popularity_of
from recommender.recommend import Recommender, prepare
from recommender.sketch import sketches_of
from recommender.universe import Prepared
from schemas.candidates import Version, unpack_candidates
from schemas.cards import card_of, unpack_card
from schemas.control import Genesis, encode_control
from schemas.courses import Course, encode_course
from schemas.events import Dropped, Enrolled, LearnerEvent
from schemas.keys import (
    SHARED_CARDS,
    SHARED_COLD,
    SHARED_GRADES,
    SHARED_LATEST,
    SHARED_META,
    SHARED_POPULAR,
    SHARED_SIMILAR,
    SHARED_TRENDING,
    ShardKeys,
)
from schemas.meta import Status
from schemas.topics import CONTROL, COURSES
from stream import shared_lists
from stream.merge import join_run, merge_run
from stream.serving import Serving, ServingRoom
from stream.shared_lists import SharedLists, replace_hash
from stream.view import open_shard
from tests.models import COURSES as CATALOGUE
from tests.models import grades_net, small_model
from tests.reference import DAY_US, Logged
from tests.shard_state import CONTROL as ONE_SHARD
from tests.shard_state import record_of
from tests.strategies import LATE_MS, at

LISTS = (SHARED_POPULAR, SHARED_TRENDING, SHARED_LATEST, SHARED_COLD)
PREPARED = prepare(small_model())
PUBLISHED = [
    Course(course_id="new1", title="sql", published_at=at(40 * DAY_US)),
    Course(course_id="new2", title="python", published_at=at(50 * DAY_US)),
    Course(course_id="gone", title="sql", retired=True),
]


def put(topic: str, offset: int, key: str, value: bytes) -> ConsumerRecord:
    return ConsumerRecord(
        topic=topic, partition=0, offset=offset, timestamp=1, timestamp_type=1, key=key.encode(), value=value,
        checksum=None, serialized_key_size=1, serialized_value_size=1, headers=(),
    )  # fmt: skip


class House:
    """What a worker holds that shared lists are made from; nothing of it is connected but Redis."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.control, self.catalogue = ControlLog("nowhere"), Catalogue("nowhere")
        self.control.take(put(CONTROL, 0, "", encode_control(Genesis(partitions=2))))
        for offset, course in enumerate([*CATALOGUE, *PUBLISHED]):
            self.catalogue.take(put(COURSES, offset, course.course_id, encode_course(course)))
        self.room = ServingRoom(BundleStore("nowhere"), self.control, self.catalogue)
        self.serve(5)

    def serve(self, model_epoch: int, prepared: Prepared = PREPARED) -> None:
        """Serve with a model of this epoch and the catalogue as it stands."""
        recommender = Recommender(prepared, dict(self.catalogue.courses), popularity_of({}))
        self.room.current = Serving(recommender, model_epoch, self.catalogue.epoch)

    def worker(self) -> SharedLists:
        """Return what a worker that starts now runs."""
        return SharedLists(self.client, self.control, self.catalogue, self.room)

    async def enrol(self, shard: int, first: int, *events: LearnerEvent) -> None:
        """Merge events into a shard, at the offsets from `first` on."""
        view, _ = await open_shard(self.client, ShardKeys(shard, 0), 0)
        records = [record_of(Logged(event, LATE_MS), first + place) for place, event in enumerate(events)]
        answer = await merge_run(self.client, view, join_run(records, first, first + len(events) - 1, ONE_SHARD))
        assert answer.status == "OK"


@pytest.fixture
async def house(client: Client) -> House:
    """Begin with two empty shards that are live."""
    for shard in range(2):
        view, _ = await open_shard(client, ShardKeys(shard, 0), 0)
        await view.set_status(client, Status.LIVE)
    return House(client)


def enrolled(user_id: str, course_id: str, day: int) -> Enrolled:
    return Enrolled(event_id="e", user_id=user_id, course_id=course_id, occurred_at=at(day * DAY_US))


async def read(client: Client, key: str) -> dict[str, bytes]:
    fields: Any = await client.hgetall(key)
    return {name.decode(): value for name, value in fields.items()}


async def courses_of(client: Client, key: str, facet: str = "") -> list[str]:
    packed: Any = await client.hget(key, facet)
    return [candidate.course_id for candidate in unpack_candidates(packed).candidates]


async def stamps(client: Client, keys: Sequence[str]) -> dict[str, int]:
    """Return when each of these was made."""
    return {key: unpack_candidates(next(iter((await read(client, key)).values()))).generated_us for key in keys}


async def test_counts_of_all_shards_make_one_list(client: Client, house: House) -> None:
    await house.enrol(0, 0, enrolled("a", "c03", 100), enrolled("b", "c03", 100), enrolled("c", "c07", 10))
    await house.enrol(1, 0, enrolled("d", "c07", 10), enrolled("e", "c07", 10), enrolled("f", "c09", 99))
    await house.worker().update(is_writer=True)
    popular, trending = [await courses_of(client, key) for key in (SHARED_POPULAR, SHARED_TRENDING)]
    assert popular[:3] == ["c07", "c03", "c09"]
    assert trending[:2] == ["c03", "c09"]  # c07 was popular 90 days ago
    assert "gone" not in popular and set(popular) == {course.course_id for course in [*CATALOGUE, *PUBLISHED[:2]]}
    assert await courses_of(client, SHARED_LATEST) == ["new2", "new1"]
    assert await courses_of(client, SHARED_COLD) == popular  # as long as no blend says what trending is worth


async def test_each_facet_has_a_list_of_its_own(client: Client, house: House) -> None:
    await house.enrol(0, 0, enrolled("a", "c04", 100), enrolled("b", "c02", 100), enrolled("c", "c02", 100))
    await house.worker().update(is_writer=True)
    assert set(await read(client, SHARED_POPULAR)) == {"", "language=en", "language=de", "level=easy"}
    german = {course.course_id for course in CATALOGUE if course.language == "de"}
    assert (await courses_of(client, SHARED_POPULAR, "language=de"))[:2] == ["c02", "c04"]
    assert set(await courses_of(client, SHARED_POPULAR, "language=de")) == german


async def test_lists_say_what_they_were_made_from(client: Client, house: House) -> None:
    await house.enrol(0, 0, enrolled("a", "c04", 100))
    await house.worker().update(is_writer=True)
    for key in (*LISTS, SHARED_SIMILAR):
        for packed in (await read(client, key)).values():
            assert unpack_candidates(packed).version == Version(5, len(CATALOGUE) + len(PUBLISHED) - 1, -1, -1)
    meta = {name: value.decode() for name, value in (await read(client, SHARED_META)).items()}
    assert len(meta.pop("nonce")) == 32
    assert meta == {"model_epoch": "5", "catalogue_epoch": "14", "counted": "0 0 -1", "similar": "5 14"}


async def test_every_course_has_similar_ones_and_a_card(client: Client, house: House) -> None:
    await house.worker().update(is_writer=True)
    similar, cards = await read(client, SHARED_SIMILAR), await read(client, SHARED_CARDS)
    everything = {course.course_id: course for course in [*CATALOGUE, *PUBLISHED]}
    assert set(similar) == set(cards) == set(everything)
    assert house.room.current
    sketches = sketches_of(house.room.current.recommender.universe)
    assert {course_id: unpack_card(packed) for course_id, packed in cards.items()} == {
        course_id: card_of(course, sketches[course_id]) for course_id, course in everything.items()
    }
    assert {len(unpack_card(packed).sketch) for packed in cards.values()} == {32}
    for course_id, packed in similar.items():
        found = unpack_candidates(packed).candidates
        assert found and not {course_id, "gone"} & {candidate.course_id for candidate in found}


async def test_the_grades_model_stands_beside_the_lists_while_a_model_has_one(client: Client, house: House) -> None:
    await house.worker().update(is_writer=True)
    assert await read(client, SHARED_GRADES) == {}
    net = grades_net(len(CATALOGUE))
    with_grades = replace(PREPARED, model=replace(PREPARED.model, grades=net))
    house.serve(6, with_grades)
    await house.worker().update(is_writer=True)
    stood = await read(client, SHARED_GRADES)
    course_ids, found = unpack_grades(stood["model"])
    assert (stood["epoch"], course_ids, found.mean.tolist()) == (b"6", PREPARED.model.course_ids, net.mean.tolist())
    house.serve(7)
    await house.worker().update(is_writer=True)
    assert await read(client, SHARED_GRADES) == {}


async def test_what_is_true_is_not_written_again(client: Client, house: House) -> None:
    worker = house.worker()
    await worker.update(is_writer=True)
    before = await stamps(client, (*LISTS, SHARED_SIMILAR))
    await worker.update(is_writer=True)
    await house.worker().update(is_writer=True)  # one that was started anew
    assert await stamps(client, (*LISTS, SHARED_SIMILAR)) == before


async def test_while_a_shard_is_rebuilt_the_last_whole_counts_stand(client: Client, house: House) -> None:
    worker = house.worker()
    await house.enrol(0, 0, enrolled("a", "c03", 100), enrolled("b", "c03", 100))
    await house.enrol(1, 0, enrolled("c", "c07", 100))
    await worker.update(is_writer=True)
    assert (await courses_of(client, SHARED_POPULAR))[:2] == ["c03", "c07"]
    await client.delete(ShardKeys(0, 0).meta, ShardKeys(0, 0).counts)
    await house.enrol(0, 0, *(enrolled(user_id, "c09", 100) for user_id in "ade"))  # opens the shard anew, building
    await worker.update(is_writer=True)
    assert (await courses_of(client, SHARED_POPULAR))[:2] == ["c03", "c07"]
    view, _ = await open_shard(client, ShardKeys(0, 0), 0)
    await view.set_status(client, Status.LIVE)
    await worker.update(is_writer=True)
    assert (await courses_of(client, SHARED_POPULAR))[:2] == ["c09", "c07"]


async def test_new_counts_renew_the_lists_and_nothing_else(client: Client, house: House) -> None:
    worker = house.worker()
    await house.enrol(0, 0, enrolled("a", "c03", 100))
    await worker.update(is_writer=True)
    before = await stamps(client, (*LISTS, SHARED_SIMILAR))
    await house.enrol(0, 1, enrolled("b", "c07", 100), enrolled("c", "c07", 100))
    dropped = Dropped(event_id="d", user_id="a", course_id="c03", occurred_at=at(101 * DAY_US))
    await house.enrol(0, 3, dropped)
    await worker.update(is_writer=True)
    after = await stamps(client, (*LISTS, SHARED_SIMILAR))
    assert {key for key in before if after[key] > before[key]} == set(LISTS)
    assert (await courses_of(client, SHARED_POPULAR))[0] == "c07"
    packed: Any = await client.hget(SHARED_POPULAR, "")
    scores = {candidate.course_id: candidate.score for candidate in unpack_candidates(packed).candidates}
    assert scores["c03"] == scores["c04"] < scores["c07"]  # who dropped counts no more


async def test_another_model_or_catalogue_renews_everything(client: Client, house: House) -> None:
    worker = house.worker()
    await worker.update(is_writer=True)
    for offset, model_epoch in ((20, 5), (20, 6)):
        before = await stamps(client, (*LISTS, SHARED_SIMILAR))
        house.catalogue.take(put(COURSES, offset, "c00", encode_course(Course(course_id="c00", title="law"))))
        house.serve(model_epoch)
        await worker.update(is_writer=True)
        after = await stamps(client, (*LISTS, SHARED_SIMILAR))
        assert all(after[key] > before[key] for key in before)
    assert unpack_card((await read(client, SHARED_CARDS))["c00"]).title == "law"


async def test_they_come_back_after_the_server_was_emptied(client: Client, house: House) -> None:
    worker = house.worker()
    await worker.update(is_writer=True)
    await client.flushall()
    await worker.update(is_writer=True)
    assert await client.exists(*LISTS, SHARED_SIMILAR, SHARED_CARDS, SHARED_META) == 7


async def test_what_is_popular_stays_while_an_older_backup_is_brought_up_to_date(client: Client, house: House) -> None:
    worker = house.worker()
    await house.enrol(0, 0, enrolled("a", "c04", 100))
    backup: Any = [(key, await client.dump(key)) for key in await client.keys()]
    await house.enrol(0, 1, enrolled("b", "c03", 100), enrolled("c", "c03", 100))
    await worker.update(is_writer=True)
    await client.flushall()
    for key, packed in backup:
        await client.restore(key, 0, packed)
    await worker.update(is_writer=True)
    assert (await courses_of(client, SHARED_POPULAR))[:2] == ["c03", "c04"]
    await house.enrol(0, 1, *(enrolled(user_id, "c05", 100) for user_id in "bcd"))
    await worker.update(is_writer=True)
    assert (await courses_of(client, SHARED_POPULAR))[:2] == ["c05", "c04"]


@pytest.mark.parametrize("step", [SHARED_SIMILAR, SHARED_CARDS, LISTS[0], LISTS[-1]])
async def test_a_server_emptied_while_they_are_written_gets_them_all_again(
    client: Client, house: House, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    write = shared_lists.replace_hash

    async def replace_then_lose(client: Client, key: str, fields: Mapping[str, bytes]) -> None:
        await write(client, key, fields)
        if key == step:
            await client.flushall()

    worker = house.worker()
    with monkeypatch.context() as patch:
        patch.setattr(shared_lists, "replace_hash", replace_then_lose)
        await worker.update(is_writer=True)
    await worker.update(is_writer=True)
    assert await client.exists(*LISTS, SHARED_SIMILAR, SHARED_CARDS, SHARED_META) == 7


async def test_a_hash_lost_before_it_takes_its_place_is_no_error(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "persist", lambda _key: client.flushall())
    await replace_hash(client, "key", versioned(0, 3))
    assert not await client.exists("key")


async def test_only_the_owner_of_shard_0_writes(client: Client, house: House) -> None:
    await house.enrol(0, 0, enrolled("a", "c03", 100))
    await house.worker().update(is_writer=False)
    assert not await client.exists(*LISTS, SHARED_SIMILAR, SHARED_CARDS, SHARED_META)
    assert house.room.current is not None
    recommender = house.room.current.recommender  # but everyone ranks by what is popular
    assert recommender.popular.argmax() == recommender.course_ids.index("c03")


async def test_nothing_is_written_without_a_model(client: Client, house: House) -> None:
    house.room.current = None
    await house.worker().update(is_writer=True)
    assert await client.exists(*LISTS, SHARED_SIMILAR, SHARED_CARDS, SHARED_META) == 0


def versioned(version: int, size: int) -> dict[str, bytes]:
    return {f"f{i}": b"%d" % version for i in range(size)}


async def test_no_reader_sees_an_empty_or_half_hash(client: Client) -> None:
    await replace_hash(client, "key", versioned(0, 1_200))
    done, seen = asyncio.Event(), []

    async def watch() -> None:
        while not done.is_set():
            fields = await read(client, "key")
            seen.append((len(fields), set(fields.values())))

    watching = asyncio.create_task(watch())
    for version in range(1, 25):
        await replace_hash(client, "key", versioned(version, 1_200 - version * 20))
    done.set()
    await watching
    expected = [(1_200 - version * 20, {b"%d" % version}) for version in range(25)]
    assert all(one in expected for one in seen)
    assert len({size for size, _ in seen}) > 5, "the reader looked on"


async def test_two_writers_do_not_disturb_each_other(client: Client) -> None:
    async def write(version: int) -> None:
        for _ in range(10):
            await replace_hash(client, "key", versioned(version, 1_200))
            fields = await read(client, "key")
            assert len(fields) == 1_200 and len(set(fields.values())) == 1

    await asyncio.gather(write(1), write(2), write(3))
    assert await client.keys() == [b"key"] and await client.ttl("key") == -1


async def test_a_hash_without_fields_is_no_hash(client: Client) -> None:
    await replace_hash(client, "key", versioned(1, 3))
    await replace_hash(client, "key", {})
    assert await client.keys() == []
