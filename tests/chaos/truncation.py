"""A log that loses its beginning: what is left of it is what the state must say, and somebody must be told."""

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from adapters.redis import Client
from schemas.topics import LEARNER_EVENTS
from tests.chaos.stack import LogMark, Stack
from tests.chaos.standing import Standing, read_standing
from tests.chaos.verdict import Verdict, digests, judge_standing, quiet


async def truncate(stack: Stack, client: Client) -> Verdict:
    """Delete the first half of every other partition, empty Redis, and judge what comes of it.

    What was deleted is lost by definition, erasures among it, so nothing but the rest of the log is held against it.
    """
    mark = LogMark(stack.log)
    before = await read_standing(client, stack.connections)
    cut = {shard: (begin + end) // 2 for shard, (begin, end) in enumerate(zip(before.begins, before.ends, strict=True))}
    await _delete_before(stack, {shard: offset for shard, offset in cut.items() if shard % 2 == 0})
    await client.flushall()
    await quiet(stack, client)
    standing = await read_standing(client, stack.connections)
    verdict = judge_standing(standing, [entry.event for entry in standing.log], [])
    verdict.wrong += _unsaid(before, standing, mark.said())
    await digests(stack, verdict)
    return verdict


async def _delete_before(stack: Stack, offsets: dict[int, int]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.connections.kafka_bootstrap_servers)
    await admin.start()
    try:
        doomed = {TopicPartition(LEARNER_EVENTS, shard): RecordsToDelete(before) for shard, before in offsets.items()}
        await admin.delete_records(doomed)
    finally:
        await admin.close()


def _unsaid(before: Standing, after: Standing, said: str) -> list[str]:
    """Return the shards whose loss nobody was told of; and whether anything was lost at all."""
    shards = [shard for shard, begin in enumerate(after.begins) if begin > before.begins[shard]]
    if not shards:
        return ["no record was deleted"]
    alarms = [line for line in said.splitlines() if "ALARM" in line]
    untold = [shard for shard in shards if not any(f"{LEARNER_EVENTS}:{shard} " in line for line in alarms)]
    return [f"shard {shard} lost its beginning, and no alarm was raised" for shard in untold]
