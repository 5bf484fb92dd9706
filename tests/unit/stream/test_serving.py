"""What lists are made with: real bundles, taken whole or not at all."""

import asyncio
import logging
import re
import shutil
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from aiokafka import ConsumerRecord

from adapters.bundles import BundleStore
from adapters.follow import Catalogue, ControlLog
from adapters.redis import end_tasks
from schemas.control import ControlRecord, Genesis, ModelRolledBack, encode_control
from schemas.courses import Course, encode_course
from schemas.manifest import MANIFEST_NAME, Manifest
from schemas.topics import CONTROL, COURSES
from stream import attempts
from stream.serving import Serving, ServingRoom
from tests.models import COURSES as CATALOGUE
from tests.models import going_live, small_model, store_bundle
from tests.refused import REFUSED, store_refused
from tests.waiting import until


class House:
    """A store, and the two logs as far as they were read."""

    def __init__(self, folder: Path, store: BundleStore | None = None) -> None:
        self.store, self.scratch = folder / "store", folder / "scratch"
        self.control, self.catalogue = ControlLog("nowhere"), Catalogue("nowhere")
        self.room = ServingRoom(store or BundleStore(str(self.store)), self.control, self.catalogue)
        self.decide(Genesis(partitions=4))
        for course in CATALOGUE:
            self.offer(course)

    def decide(self, *decisions: ControlRecord) -> None:
        """Append to `control`, and tell who follows it."""
        for decision in decisions:
            self._put(self.control, CONTROL, self.control.state.offset + 1, encode_control(decision))
        for listener in self.control._listeners:
            listener()

    def offer(self, course: Course) -> None:
        """Append to `courses`."""
        self._put(self.catalogue, COURSES, self.catalogue.epoch + 1, encode_course(course))

    def withdraw(self, course_id: str) -> None:
        """Append to `courses` that there is no such course."""
        self._put(self.catalogue, COURSES, self.catalogue.epoch + 1, None, course_id.encode())

    def _put(self, log: ControlLog | Catalogue, topic: str, offset: int, value: bytes | None, key: bytes = b"") -> None:
        record = ConsumerRecord(
            topic=topic, partition=0, offset=offset, timestamp=1, timestamp_type=1, key=key, value=value,
            checksum=None, serialized_key_size=0, serialized_value_size=1, headers=(),
        )  # fmt: skip
        log.take(record)

    def publish(self, seed: int) -> Manifest:
        """Put a bundle into the store."""
        return store_bundle(self.store, self.scratch, seed)

    async def promote(self, seed: int) -> int:
        """Publish a model, put it live and take it in; return its epoch."""
        self.decide(*going_live(self.publish(seed)))
        await self.room.refresh()
        return self.control.state.offset

    @property
    def current(self) -> Serving:
        """What is served now."""
        assert self.room.current is not None
        return self.room.current


@pytest.fixture
def house(tmp_path: Path) -> House:
    """Begin with a catalogue and without a model."""
    return House(tmp_path)


def is_of(serving: Serving, seed: int) -> bool:
    """Whether what is served is the model of this seed, number by number."""
    found, wanted = serving.recommender.universe.prepared.model.neumf, small_model(seed).neumf
    assert found is not None and wanted is not None
    return np.array_equal(found.history, wanted.history)


async def test_without_a_model_nothing_is_served(house: House) -> None:
    await house.room.refresh()
    assert house.room.current is None and not house.room.is_model_due()


async def test_a_model_that_was_only_published_is_not_served(house: House) -> None:
    house.decide(going_live(house.publish(1))[0])
    await house.room.refresh()
    assert house.room.current is None


async def test_a_model_that_is_live_is_due_until_it_was_taken(house: House) -> None:
    house.decide(*going_live(house.publish(1)))
    assert house.room.is_model_due()
    await house.room.refresh()
    assert not house.room.is_model_due()
    assert house.current.epochs == (house.control.state.model_epoch, 11) and is_of(house.current, 1)


async def test_another_model_takes_its_place_under_another_epoch(house: House) -> None:
    first = await house.promote(1)
    before = house.current
    second = await house.promote(2)
    assert (first, second) == (2, 4)
    assert house.current.model_epoch == second and is_of(house.current, 2)
    assert before.model_epoch == first and is_of(before, 1), "who computes with the old one is not disturbed"


async def test_a_rollback_is_a_new_epoch_of_an_old_model(house: House) -> None:
    await house.promote(1)
    await house.promote(2)
    house.decide(ModelRolledBack(version="m-1"))
    await house.room.refresh()
    assert house.current.model_epoch == 5 and is_of(house.current, 1)


@pytest.mark.parametrize("how", [*REFUSED, "missing", "no manifest"])
async def test_a_bundle_that_is_not_what_it_says_raises_an_alarm_and_the_old_model_stays(
    house: House, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    epoch = await house.promote(1)
    manifest = house.publish(2) if how not in REFUSED else store_refused(house.store, house.scratch, how, 2)
    if how == "missing":
        shutil.rmtree(house.store / manifest.version)
    elif how == "no manifest":
        (house.store / manifest.version / MANIFEST_NAME).unlink()
    house.decide(*going_live(manifest))
    with caplog.at_level(logging.ERROR, "stream.serving"):
        await house.room.refresh()
    (said,) = caplog.messages
    assert said.startswith(f"ALARM: model {manifest.version} is not taken: ") and "\n" not in said
    assert re.search(REFUSED.get(how, "is not in|no readable"), said)
    assert house.room.load_failures == 1
    assert house.current.model_epoch == epoch and is_of(house.current, 1)
    await house.promote(3)
    assert is_of(house.current, 3)


async def test_a_model_is_at_home_where_a_tenth_of_its_courses_are(house: House) -> None:
    for course in CATALOGUE[2:]:
        house.withdraw(course.course_id)
    await house.promote(1)
    assert is_of(house.current, 1), "2 of 12"
    house.withdraw(CATALOGUE[1].course_id)
    await house.promote(2)
    assert house.room.load_failures == 1 and is_of(house.current, 1), "1 of 12"
    house.withdraw(CATALOGUE[0].course_id)
    await house.promote(3)
    assert is_of(house.current, 3), "an empty catalogue says nothing"


async def test_a_bundle_that_comes_late_is_taken_when_it_is_there(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "FIRST_RETRY_S", 0.0)
    manifest = house.publish(1)
    hidden = house.store.parent / "hidden"
    (house.store / manifest.version).rename(hidden)
    house.decide(*going_live(manifest))
    await house.room.refresh()
    assert house.room.current is None and house.room.is_model_due()
    hidden.rename(house.store / manifest.version)
    await house.room.refresh()
    assert is_of(house.current, 1)


async def test_a_bundle_that_is_refused_is_tried_ever_more_seldom_and_another_at_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1_000.0]
    monkeypatch.setattr(attempts, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    house.decide(*going_live(house.publish(1)))
    shutil.rmtree(house.store / "m-1")
    tried_at: list[float] = []
    for second in range(1_000):
        clock[0], before = 1_000.0 + second, house.room.load_failures
        await house.room.refresh()
        if house.room.load_failures > before:
            tried_at.append(second)
    gaps = [later - earlier for earlier, later in pairwise(tried_at)]
    assert gaps == [2, 4, 8, 16, 32, 64, 128, 256, 300]
    await house.promote(2)
    assert is_of(house.current, 2)


async def test_after_a_restart_the_model_that_was_live_before_takes_the_place_of_one_that_is_gone(
    house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "FIRST_RETRY_S", 0.0)
    epochs = [await house.promote(seed) for seed in (1, 2, 3, 4)]
    hidden = house.store.parent / "hidden"
    (house.store / "m-4").rename(hidden)
    shutil.rmtree(house.store / "m-3")
    house.room = ServingRoom(BundleStore(str(house.store)), house.control, house.catalogue)
    await house.room.refresh()
    assert house.current.model_epoch == epochs[1] and is_of(house.current, 2)
    assert house.room.is_behind
    assert "ALARM: lists are made with m-2 until m-4 can be loaded" in caplog.messages
    hidden.rename(house.store / "m-4")
    await house.room.refresh()
    assert house.current.model_epoch == epochs[3] and is_of(house.current, 4)
    assert not house.room.is_behind


async def test_without_any_bundle_nothing_is_served_and_each_is_tried_once(house: House) -> None:
    for seed in (1, 2, 1):
        await house.promote(seed)
    shutil.rmtree(house.store)
    house.room = ServingRoom(BundleStore(str(house.store)), house.control, house.catalogue)
    await house.room.refresh()
    assert house.room.current is None and house.room.is_model_due() and house.room.is_behind
    assert house.room.load_failures == 2


async def test_a_changed_catalogue_is_another_epoch(house: House) -> None:
    await house.promote(1)
    before = house.current
    house.offer(Course(course_id="new", title="sql"))
    house.offer(Course(course_id="c03", retired=True))
    await house.room.refresh()
    assert house.current.epochs == (before.model_epoch, before.catalogue_epoch + 2)
    universe = house.current.recommender.universe
    assert "new" in universe.index_of and not universe.active[universe.index_of["c03"]]
    assert "new" not in before.recommender.universe.index_of


async def test_nothing_new_is_nothing_done(house: House) -> None:
    await house.promote(1)
    before = house.current
    await house.room.refresh()
    assert house.current is before


@pytest.mark.parametrize("counted_first", [True, False])
async def test_counts_are_taken_in_before_or_after_the_model(house: House, counted_first: bool) -> None:
    if not counted_first:
        await house.promote(1)
    house.room.take_counts({"c05": {10: 3}, "c06": {10: 1}})
    if counted_first:
        await house.promote(1)
    recommender = house.current.recommender
    assert recommender.popular.argmax() == recommender.course_ids.index("c05")
    await house.promote(2)
    assert house.current.recommender.popular.argmax() == recommender.course_ids.index("c05")


async def test_a_promotion_is_followed_at_once(house: House) -> None:
    changes = 0

    def changed() -> None:
        nonlocal changes
        changes += 1

    task = asyncio.create_task(house.room.run(600, changed))
    await asyncio.sleep(0.05)
    assert house.room.current is None and changes == 0
    house.decide(*going_live(house.publish(1)))

    async def was_told() -> bool:
        return changes > 0

    await until(was_told, "the promotion", 10)
    assert is_of(house.current, 1) and changes == 1
    await end_tasks([task])


async def test_a_changed_catalogue_is_followed_within_the_interval(house: House) -> None:
    await house.promote(1)
    task = asyncio.create_task(house.room.run(0.05, lambda: None))
    house.offer(Course(course_id="new", title="sql"))

    async def knows() -> bool:
        return "new" in house.current.recommender.universe.index_of

    await until(knows, "the new course", 10)
    await end_tasks([task])
