"""Two versions of the workers at once, over one log, one state and one group: what a rolling upgrade goes through."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from adapters.kafka import shard_of
from schemas.events import Graded, LearnerEvent, encode_event
from schemas.topics import DEAD_LETTERS, LEARNER_EVENTS
from tests import reference
from tests.integration.campus import Tools, enrolled, listed, state_of
from tests.integration.workers import PARTITIONS, ROOT, System, connected, publish, read_topic, running_system
from tests.waiting import until

USERS: Final = [f"roll-{i}" for i in range(60)]
PATIENCE_S: Final = 120.0
_PACKAGES: Final = ("adapters", "cli", "datasets", "deploy", "recommender", "schemas", "stream")


def copy_house(folder: Path, *changes: tuple[str, str]) -> Path:
    """Copy the packages, with changes to `schemas/events.py`."""
    for package in _PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    events = folder / "schemas" / "events.py"
    text = events.read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    events.write_text(text)
    return folder


class Houses:
    """Two versions of the code: the older one knows no grades, the newer one knows schema version 2."""

    def __init__(self, folder: Path) -> None:
        no_grades = ("| Graded | ", "| "), ("Rated, Graded, Feedback", "Rated, Feedback")
        self.older = copy_house(folder / "older", *no_grades)
        self.newer = copy_house(folder / "newer", ("SCHEMA_VERSION: Final = 1", "SCHEMA_VERSION: Final = 2"))


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Houses:
    """Write both versions."""
    return Houses(tmp_path_factory.mktemp("houses"))


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Run a worker of today's code, so that all is founded."""
    with running_system(tmp_path_factory.mktemp("rolling"), ("w0",)) as running:
        yield running


@pytest.fixture
async def tools(system: System) -> AsyncIterator[Tools]:
    """Connect."""
    async with connected(system) as (client, producer):
        yield Tools(system, client, producer)


def events_of(second: int) -> list[LearnerEvent]:
    """Return for each learner an enrolment, a grade, and an enrolment of schema version 2."""
    found: list[LearnerEvent] = []
    for user in USERS:
        found.append(enrolled(user, second, "c05"))
        found.append(Graded(event_id=f"g{second}", user_id=user, course_id="c06", occurred_at=second, value=77))
        found.append(_newer(enrolled(user, second, "c07")))
    return found


def _newer(event: Any) -> Any:
    return type(event)(**{**{name: getattr(event, name) for name in event.__struct_fields__}, "schema_version": 2})


async def dead(system: System) -> set[tuple[str, str]]:
    """Return the learner and the reason's field of each dead letter."""
    found = set()
    for letter in await read_topic(system, DEAD_LETTERS):
        said = {name: value.decode() for name, value in letter.headers}
        found.add((letter.key.decode(), said["field"]))
    return found


async def nonces(tools: Tools) -> list[str]:
    """Return the nonce of each shard: a state that was rebuilt has another."""
    return [meta.nonce if meta else "" for meta in await tools.system.metas(tools.client)]


def in_house(house: Path, system: System, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command line of another version."""
    environment = {**os.environ, **system.addresses}
    command = (sys.executable, "-m", "cli.app", *arguments, "--json", "-")
    return subprocess.run(command, cwd=house, env=environment, capture_output=True, text=True, check=False, timeout=200)


async def join(tools: Tools, worker_id: str, house: Path) -> None:
    """Start a worker of a version and wait until it has joined."""
    tools.system.start(worker_id, house=house)

    async def ready() -> bool:
        tools.system.expect_alive()
        return tools.system.is_ready(worker_id)

    await until(ready, f"{worker_id} in the group", PATIENCE_S)


async def test_versions_work_side_by_side_and_an_upgrade_takes_in_what_the_older_could_not(
    tools: Tools, houses: Houses
) -> None:
    system, client = tools.system, tools.client
    before = await nonces(tools)
    await join(tools, "w1", houses.older)
    await join(tools, "w2", houses.newer)
    await asyncio.to_thread(system.stop, "w0")

    # Side by side: each shard by the rules of its owner; what the older one does not know is a dead letter.
    log = await publish(tools.producer, events_of(1))
    await system.caught_up(client)
    letters = await dead(system)
    without_grade = {user for user, field in letters if field == "type"}
    without_v2 = {user for user, field in letters if field == "schema_version"}
    assert without_grade == without_v2 and set() < without_grade < set(USERS)
    states = await state_of(client)
    assert {user for user in USERS if {"c06", "c07"} <= set(states[user].courses)} == set(USERS) - without_grade
    assert all("c05" in states[user].courses for user in USERS)
    assert await nonces(tools) == before

    # The older one takes over what the newer has written, and the other way round: nothing is rebuilt.
    await asyncio.to_thread(system.stop, "w2")
    log += await publish(tools.producer, [enrolled(user, 2, "c08") for user in USERS])
    await system.caught_up(client)
    await expect_lists(tools, "c08")
    await join(tools, "w2", houses.newer)
    await asyncio.to_thread(system.stop, "w1")
    log += await publish(tools.producer, [enrolled(user, 3, "c09") for user in USERS])
    await system.caught_up(client)
    await expect_lists(tools, "c09")
    assert await nonces(tools) == before

    # The upgrade is done. A retry of one letter, then a replay that must be told to accept the difference.
    poor = sorted(without_grade)[0]
    place = next(letter for letter in await read_topic(system, DEAD_LETTERS) if letter.key == poor.encode())
    said = {name: value.decode() for name, value in place.headers}
    retry = ("dead-letters", "retry", "--offset", f"{said['source-partition']}:{said['source-offset']}")
    answer = await asyncio.to_thread(in_house, houses.newer, system, *retry, "--wait-s", "60")
    assert answer.returncode == 0 and json.loads(answer.stdout)["taken"] == 1, answer.stderr
    refused = await asyncio.to_thread(in_house, houses.newer, system, "replay", "--swap")
    assert refused.returncode == 1 and "--accept-difference" in refused.stderr
    accepted = await asyncio.to_thread(in_house, houses.newer, system, "replay", "--swap", "--accept-difference")
    assert accepted.returncode == 0, accepted.stderr
    generation = json.loads(accepted.stdout)["generation"]
    await system.caught_up(client, generation)
    states, wanted = await state_of(client, generation), reference.learners(log)
    assert {user: states[user] for user in USERS} == {user: wanted[user] for user in USERS}
    compared = await asyncio.to_thread(in_house, houses.newer, system, "replay", "--swap")
    assert compared.returncode == 0, "after the swap, replay and live state agree again"


async def expect_lists(tools: Tools, course_id: str) -> None:
    """Every learner's list must be of after the enrolment in this course."""
    for user in USERS:
        candidates = (await listed(tools.client, user)).candidates
        assert candidates and course_id not in [one.course_id for one in candidates]


async def test_more_partitions_are_refused_at_start_and_harm_no_running_worker(tools: Tools) -> None:
    system, generation = tools.system, await live_generation(tools)
    admin = AIOKafkaAdminClient(bootstrap_servers=system.stack.bootstrap_servers)
    await admin.start()
    await admin.create_partitions({LEARNER_EVENTS: NewPartitions(PARTITIONS + 1)})
    await admin.close()
    system.start("w9")
    process = system.processes.pop("w9")
    assert await asyncio.to_thread(process.wait, PATIENCE_S) == 1
    said = (system.folder / "w9.log").read_text()
    assert f"{LEARNER_EVENTS} has {PARTITIONS + 1} partitions, but the state was founded with {PARTITIONS}" in said
    for user in USERS:
        await send_to_founded(tools, enrolled(user, 9, "c01"))

    async def merged() -> bool:
        system.expect_alive()
        states = await state_of(tools.client, generation)
        return all(user in states and "c01" in states[user].courses for user in USERS)

    await until(merged, "the running worker's merges", PATIENCE_S)


async def live_generation(tools: Tools) -> int:
    """Return the newest generation that is there."""
    found: Any = await tools.client.keys("cs:{0}:*:m")
    return max(int(key.split(b":")[2]) for key in found)


async def send_to_founded(tools: Tools, event: LearnerEvent) -> None:
    """Publish as the API does: by the number of partitions of the founding."""
    partition = shard_of(event.user_id, PARTITIONS)
    await tools.producer.send_and_wait(
        LEARNER_EVENTS, encode_event(event), key=event.user_id.encode(), partition=partition
    )
