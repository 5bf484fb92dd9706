"""A log that is not the one the state was made from: made anew, or cut; always an alarm, never silently continued."""

from collections.abc import AsyncIterator, Iterator

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import UnknownTopicOrPartitionError

from adapters.kafka import open_reader
from adapters.topic_ids import read_topic_id
from adapters.topics import ensure_topics
from schemas.topics import LEARNER_EVENTS
from tests import reference
from tests.integration.campus import Tools, enrolled, state_of
from tests.integration.workers import PARTITIONS, System, connected, publish, running_system, shard_of_user
from tests.waiting import until


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Run a worker that is started again when its watchdog ends it, which is soon if the group gives it no shard.

    A leader that saw no topic gives nobody anything, and its client looks again after minutes.
    """
    with running_system(tmp_path_factory.mktemp("replaced"), ["w1"]) as running:
        running.revive = lambda _: start(running)
        running.stop("w1")
        yield running


def start(system: System) -> None:
    """Start the worker."""
    system.start("w1", ("tests.integration.planted", "anew", str(system.folder)))


@pytest.fixture
async def tools(system: System) -> AsyncIterator[Tools]:
    """Connect, and begin with a worker."""
    if "w1" not in system.processes:
        start(system)
    async with connected(system) as (client, producer):
        yield Tools(system, client, producer)


async def make_anew(system: System) -> None:
    """Delete the topic, and make it again."""
    servers = system.stack.bootstrap_servers
    async with open_reader(servers) as reader:
        before = await read_topic_id(reader, LEARNER_EVENTS)
        admin = AIOKafkaAdminClient(bootstrap_servers=servers)
        await admin.start()
        await admin.delete_topics([LEARNER_EVENTS])
        await admin.close()

        async def is_gone() -> bool:
            try:
                await read_topic_id(reader, LEARNER_EVENTS)
            except UnknownTopicOrPartitionError:
                return True
            return False

        await until(is_gone, "the topic is gone")
        await ensure_topics(servers, PARTITIONS)
        assert await read_topic_id(reader, LEARNER_EVENTS) != before


async def alarms(system: System, said: int, wanted: int) -> None:
    """Wait for so many new alarms about the log."""

    async def holds() -> bool:
        system.expect_alive()
        return system.log().count("ALARM: learner-events:") >= said + wanted

    await until(holds, f"{wanted} alarms about the log")


@pytest.mark.parametrize("events", ["none", "at once", "while no worker runs"])
async def test_a_log_made_anew_is_known_whatever_offsets_it_has_reached(tools: Tools, events: str) -> None:
    system, client = tools.system, tools.client
    old = [f"old-{events}-{i}" for i in range(60)]
    await publish(tools.producer, [enrolled(user, 1) for user in old])
    await system.caught_up(client)
    said, ends = system.log().count("ALARM: learner-events:"), await system.ends()
    if events == "while no worker runs":
        system.stop("w1")
    await make_anew(system)
    log: list[reference.Logged] = []
    if events != "none":
        async with connected(system) as (_, producer):  # one that knows nothing of the topic before
            new = [f"new-{events}-{i}" for i in range(60)]
            second = 0
            while not all(now > before for now, before in zip(await system.ends(), ends, strict=True)):
                second += 1
                log += await publish(producer, [enrolled(user, second, "c07") for user in new])
    if events == "while no worker runs":
        start(system)
    await alarms(system, said, PARTITIONS)
    await system.caught_up(client)
    assert await state_of(client) == reference.learners(log)


async def test_a_log_that_lost_what_was_merged_is_an_alarm_and_the_state_stays(tools: Tools) -> None:
    system, client, keys = tools.system, tools.client, shard_of_user("cut")
    log = await publish(tools.producer, [enrolled("cut", second) for second in (1, 2)])
    await system.caught_up(client)
    said, end = system.log().count("ALARM: learner-events:"), (await system.ends())[keys.shard]
    nonce = await client.hget(keys.meta, "nonce")
    admin = AIOKafkaAdminClient(bootstrap_servers=system.stack.bootstrap_servers)
    await admin.start()
    await admin.delete_records({TopicPartition(LEARNER_EVENTS, keys.shard): RecordsToDelete(before_offset=end)})
    await admin.close()
    await alarms(system, said, 1)
    log += await publish(tools.producer, [enrolled("cut", 3, "c07")])
    await system.caught_up(client)
    assert (await state_of(client))["cut"] == reference.learners(log)["cut"]
    assert await client.hget(keys.meta, "nonce") == nonce
