"""A client whose brokers are all gone asks those again that it was given."""

from aiokafka.client import AIOKafkaClient
from aiokafka.structs import BrokerMetadata

from adapters.brokers import begin_anew_without_brokers
from deploy.embedded import EmbeddedStack
from deploy.ports import LOOPBACK, free_port
from schemas.topics import LEARNER_EVENTS


async def test_brokers_are_found_again(stack: EmbeddedStack) -> None:
    begin_anew_without_brokers()  # as does the import of adapters.kafka
    client = AIOKafkaClient(bootstrap_servers=stack.bootstrap_servers)
    await client.bootstrap()
    try:
        await client.set_topics([LEARNER_EVENTS])
        stood = client.cluster.brokers()
        client.cluster._brokers = {7: BrokerMetadata(7, LOOPBACK, free_port(), None)}
        assert await client.force_metadata_update()
        assert client.cluster.brokers() == stood
        assert client.cluster.partitions_for_topic(LEARNER_EVENTS)
    finally:
        await client.close()
