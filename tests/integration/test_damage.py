"""One learner's damaged keys, under a worker: a shard that is rebuilt at most, and no event that is lost for it."""

from collections.abc import Iterator

import pytest

from adapters.follow import ControlLog
from schemas.events import Enrolled, Feedback
from tests.integration.replays import open_tools
from tests.integration.workers import System, running_system, shard_of_user
from tests.reference import Logged

USER = "victim"
KEYS = shard_of_user(USER)
DAMAGES = {
    "a record cut short": KEYS.history(USER),
    "history": KEYS.history(USER),
    "feedback": KEYS.feedback(USER),
    "list": KEYS.candidates(USER),
    "pending writes": KEYS.pending(USER),
}


@pytest.fixture
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Run a worker."""
    with running_system(tmp_path_factory.mktemp("damage"), ("w1",)) as running:
        yield running


async def test_no_damage_ends_a_worker_or_quarantines_an_event(system: System) -> None:
    log: list[Logged] = []
    async with open_tools(system, log, 100) as tools:
        for at, (damage, key) in enumerate(DAMAGES.items()):
            await tools.append(Enrolled(event_id=f"before {at}", user_id=USER, course_id="c01", occurred_at=at))
            if damage == "a record cut short":
                await tools.client.hset(key, "c01", "short")
            else:
                await tools.client.delete(key)
                await tools.client.rpush(key, "of another type")
            await tools.append(
                Enrolled(event_id=f"after {at}", user_id=USER, course_id="c01", occurred_at=100 + at),
                Feedback(event_id=f"told {at}", user_id=USER, course_id="c02", occurred_at=100 + at, value="useful"),
            )
            await tools.expect_whole()
            assert await tools.client.type(key) in (b"hash", b"string", b"none"), damage
    assert system.log().count(f"ALARM: the state of shard {KEYS.shard} is damaged") == 3
    async with ControlLog(system.stack.bootstrap_servers) as control:
        assert not control.state.quarantined
