"""What the broker says of the workers' group: the truth about who is a member, and which shards it gave to whom."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import for_code

from schemas.topics import LEARNER_EVENTS, STREAM_GROUP

_STABLE: Final = "Stable"
_SUFFIX: Final = 37
"""The broker names a member by its instance id, a dash and a UUID."""


class Membership(NamedTuple):
    """What the broker says of a group.

    `holds`: this worker was given what it owns, and every shard was given to some member.
    `has_orphans`: the group is at rest though some shard was given to nobody. So it is after a topic was made anew
    while the leader knew of none; a static member that comes back at once is given what it had, which is nothing.
    """

    holds: bool
    has_orphans: bool


class Group:
    """One worker's view of the group it should be a member of."""

    def __init__(self, admin: AIOKafkaAdminClient, worker_id: str) -> None:
        self._admin = admin
        self._worker_id = worker_id

    async def look(self, owned: set[int], partitions: int) -> Membership:
        """Return how this worker and the shards stand in the group."""
        given = await self._given()
        covered = set().union(*given.values()) == set(range(partitions))
        return Membership(covered and given.get(self._worker_id) == owned, bool(given) and not covered)

    async def _given(self) -> dict[str, set[int]]:
        """Return shards by worker; nothing while the group is rebalancing."""
        (answer,) = await self._admin.describe_consumer_groups([STREAM_GROUP])
        ((code, _, state, _, _, members, *_),) = answer.groups
        if code:
            raise for_code(code)(STREAM_GROUP)
        if state != _STABLE:
            return {}
        return {member[0][:-_SUFFIX]: _shards(member[-1]) for member in members}


@asynccontextmanager
async def open_group(bootstrap_servers: str, worker_id: str) -> AsyncIterator[Group]:
    """Open what one worker sees of the group."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    try:
        await admin.start()
        yield Group(admin, worker_id)
    finally:
        await admin.close()


def _shards(packed: bytes) -> set[int]:
    assignment = ConsumerProtocolMemberAssignment.decode(packed).assignment
    return {shard for topic, shards in assignment if topic == LEARNER_EVENTS for shard in shards}
