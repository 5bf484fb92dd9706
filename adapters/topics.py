"""Founding a system: the topics and the first record of `control`. Safe to repeat.

Also a command, for stacks that have no `up`: `python -m adapters.topics`.
"""

import asyncio
import os
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import GroupCoordinatorNotAvailableError as CoordinatorNotAvailableError
from aiokafka.errors import TopicAlreadyExistsError, for_code

from adapters.follow import ControlLog, append_control
from adapters.kafka import open_reader, partitions_of
from schemas.control import Genesis
from schemas.errors import ConfigurationError
from schemas.settings import Connections, load
from schemas.topics import ACTIVITY, LEARNER_EVENTS, STREAM_GROUP, TOPICS, UNCOMPRESSED, Topic

_COMPRESSION: Final = "compression.type"
_IN_SYNC: Final = "min.insync.replicas"
"""Copies that have what is acknowledged: of three, two; so one may be away, and one more lost."""
_SET_OF_TOPIC: Final = 1
"""Source of a setting, as Kafka numbers them: it was set of the topic itself."""


async def _create(admin: AIOKafkaAdminClient, topic: Topic, partitions: int, replication_factor: int) -> None:
    settings = {**topic.settings(), _IN_SYNC: str(max(replication_factor - 1, 1))}
    new = NewTopic(topic.name, topic.partitions or partitions, replication_factor, topic_configs=settings)
    answer = await admin.create_topics([new])
    for _, code, message in (error[:3] for error in answer.topic_errors):
        if code not in (0, TopicAlreadyExistsError.errno):
            raise ConfigurationError(f"topic {topic.name} could not be created: {for_code(code).__name__} {message}")


async def _store_uncompressed(admin: AIOKafkaAdminClient) -> None:
    """Let the broker store the topics of an older system uncompressed too; what else is set of them stays."""
    asked = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in TOPICS]
    for answer in await admin.describe_configs(asked):
        for _, _, _, name, entries in answer.resources:
            values = {entry[0]: entry[1] for entry in entries}
            own = {entry[0]: entry[1] for entry in entries if entry[3] == _SET_OF_TOPIC}
            if values.get(_COMPRESSION) not in (None, UNCOMPRESSED):
                changed = ConfigResource(ConfigResourceType.TOPIC, name, {**own, _COMPRESSION: UNCOMPRESSED})
                await admin.alter_configs([changed])


async def _await_coordinator(admin: AIOKafkaAdminClient) -> None:
    """Wait until the group has a coordinator: a new broker makes its topic of offsets at the first question."""
    while True:
        try:
            await admin.find_coordinator(STREAM_GROUP)
            return
        except CoordinatorNotAvailableError:
            await asyncio.sleep(0.1)


async def check_partitions(bootstrap_servers: str) -> int:
    """Return the number of shards; ConfigurationError if the broker's topics have another number of partitions."""
    async with ControlLog(bootstrap_servers) as control, open_reader(bootstrap_servers) as reader:
        for topic in (LEARNER_EVENTS, ACTIVITY):
            control.state.check_partitions(topic, len(await partitions_of(reader, topic)))
        return control.state.partitions


async def ensure_topics(bootstrap_servers: str, partitions: int, replication_factor: int = 1) -> None:
    """Create the topics that are missing and write the first record of `control` if there is none.

    A system that was founded keeps its number of partitions and of copies: `partitions` and `replication_factor` count
    for a new one only.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        for topic in TOPICS:
            await _create(admin, topic, partitions, replication_factor)
        await _store_uncompressed(admin)
        await _await_coordinator(admin)
    finally:
        await admin.close()
    async with open_reader(bootstrap_servers) as reader:
        present = len(await partitions_of(reader, LEARNER_EVENTS))
    try:
        async with ControlLog(bootstrap_servers):
            pass
    except ConfigurationError:
        await append_control(bootstrap_servers, Genesis(partitions=present))
    await check_partitions(bootstrap_servers)


def main() -> None:
    """Found the system that the environment names, with `PARTITIONS` shards (16), `REPLICATION_FACTOR` copies (1)."""
    connections = load(Connections)
    asyncio.run(
        ensure_topics(
            connections.kafka_bootstrap_servers,
            int(os.environ.get("PARTITIONS", "16")),
            int(os.environ.get("REPLICATION_FACTOR", "1")),
        )
    )


if __name__ == "__main__":
    main()
