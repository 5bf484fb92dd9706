"""Who is a member of the workers' group, and which shards each one has, by the broker's word."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment

from schemas.topics import LEARNER_EVENTS, STREAM_GROUP


@asynccontextmanager
async def _admin(bootstrap_servers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def members(bootstrap_servers: str) -> dict[str, list[int]]:
    """Return the shards of each member; a static member's id begins with its worker's name."""
    async with _admin(bootstrap_servers) as admin:
        answers = await admin.describe_consumer_groups([STREAM_GROUP])
    (group,) = (group for answer in answers for group in answer.groups)
    return {member[0]: _shards(member[4]) for member in group[5]}


def _shards(assignment: bytes) -> list[int]:
    if not assignment:
        return []
    topics = dict(ConsumerProtocolMemberAssignment.decode(assignment).assignment)
    return sorted(topics.get(LEARNER_EVENTS, []))


def shards_of(worker_id: str, found: dict[str, list[int]]) -> list[int]:
    """Return the shards of a worker.

    >>> member = "worker-1-0f5c2a6e-7c1d-4c39-9d0e-2f1f2b3c4d5e"
    >>> shards_of("worker-1", {member: [0, 1]}), shards_of("worker", {member: [0, 1]})
    ([0, 1], [])
    """
    return next((shards for member, shards in found.items() if member.rsplit("-", 5)[0] == worker_id), [])
