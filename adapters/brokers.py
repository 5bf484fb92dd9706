"""Finding the brokers again when all those a client knows are gone.

A client learns who the brokers are from whichever answers, and no longer asks those it was given. If that one saw no
other, because they were away or fenced just then, and goes itself, aiokafka asks it for ever. Java's client begins anew
by now (KIP-899); so does ours.
"""

from collections.abc import Collection
from typing import Final

from aiokafka.client import AIOKafkaClient
from aiokafka.cluster import ClusterMetadata
from aiokafka.structs import BrokerMetadata

_update: Final = AIOKafkaClient._metadata_update


async def _update_or_begin_anew(client: AIOKafkaClient, metadata: ClusterMetadata, topics: Collection[str]) -> bool:
    """Learn brokers and partitions from the brokers known; where none answers, from those that the client was given."""
    if await _update(client, metadata, topics):
        return True
    given = [BrokerMetadata(f"given-{number}", host, port, None) for number, (host, port, _) in enumerate(client.hosts)]
    client.cluster._brokers.update((one.nodeId, one) for one in given)  # the next answer takes the place of all
    return bool(await _update(client, metadata, topics))


def begin_anew_without_brokers() -> None:
    """Let every client of this process do so."""
    AIOKafkaClient._metadata_update = _update_or_begin_anew
