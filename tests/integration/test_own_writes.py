"""Read your own writes: what one API acknowledged the other shows, whatever happens to Redis and to the workers."""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from redis import Redis

from tests.api_server import Switched, running_api, until
from tests.integration.campus import COURSE_IDS
from tests.integration.workers import System, paused, running_system, shard_of_user

pytestmark = pytest.mark.timeout(900)
PATIENCE_S: Final = 90
_STATUS: Final = {"enrol": "enrolled", "progress": "enrolled", "drop": "dropped"}


class Campus:
    """Two APIs over one system, and what each learner was promised."""

    def __init__(self, system: System, redis: Switched, apis: tuple[httpx.Client, httpx.Client], folder: Path) -> None:
        self.system, self.redis, self.apis, self.folder = system, redis, apis, folder
        self.status: dict[str, dict[str, str]] = {}
        self.unknown: dict[str, set[str]] = {}
        self.num_whole = 0

    def write(self, api: httpx.Client, user_id: str, course_id: str, what: str) -> bool:
        """Write; return whether it was acknowledged. What was not may have happened all the same."""
        body = {"value": 0.5} if what == "progress" else {}
        answer = api.post(f"/v1/learners/{user_id}/courses/{course_id}/{what}", json=body)
        if answer.status_code != 202:
            assert answer.status_code == 503, answer.text
            self.unknown.setdefault(user_id, set()).add(course_id)
            return False
        known = self.status.setdefault(user_id, {})
        known[course_id] = known.get(course_id, "enrolled") if what == "progress" else _STATUS[what]
        return True

    def read(self, api: httpx.Client, user_id: str) -> bool:
        """Read list and page; return whether they are whole, and then they must be right."""
        listed = self.ask(api, f"/v1/learners/{user_id}/recommendations?limit=100")
        assert listed["items"]
        taken = self.status.get(user_id, {})
        if not listed["degraded"]:
            assert not taken.keys() & {item["course_id"] for item in listed["items"]}
            self.num_whole += 1
        answer = api.get(f"/v1/learners/{user_id}")
        if answer.status_code == 503 or answer.json()["degraded"]:
            return False
        shown = {one["course_id"]: one["status"] for one in answer.json()["courses"]}
        doubtful = self.unknown.get(user_id, set())
        assert {c: s for c, s in shown.items() if c not in doubtful} == {
            c: s for c, s in taken.items() if c not in doubtful
        }
        return not listed["degraded"]

    def ask(self, api: httpx.Client, path: str) -> Any:
        """Ask; a look-up is always answered."""
        answer = api.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def until_whole(self, users: list[str]) -> None:
        """Wait until both APIs answer wholly for these learners."""
        for api in self.apis:
            for user_id in users:
                until(lambda api=api, user_id=user_id: self.read(api, user_id), PATIENCE_S)

    def pending(self, user_id: str) -> set[str]:
        """Return the courses whose writes wait in Redis."""
        with Redis.from_url(self.redis.redis_url) as client:
            found: Any = client.hkeys(shard_of_user(user_id).pending(user_id))
        return {course.decode() for course in found}

    def flush(self) -> None:
        """Empty Redis."""
        with Redis.from_url(self.redis.redis_url) as client:
            client.flushall()


@pytest.fixture(scope="module")
def campus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campus]:
    folder = tmp_path_factory.mktemp("own-writes")
    redis = Switched(folder / "redis").on()
    with ExitStack() as exits:
        exits.callback(redis.off)
        system = exits.enter_context(running_system(folder, ["w1"], redis_url=redis.redis_url, STALL_S="600"))
        kafka = system.stack.bootstrap_servers
        apis = [exits.enter_context(running_api(kafka, redis.redis_url, READ_TIMEOUT_S="5")) for _ in range(2)]
        yield Campus(system, redis, (apis[0], apis[1]), folder)


def test_what_one_api_acknowledged_the_other_one_hides_under_lag(campus: Campus) -> None:
    one, other = campus.apis
    campus.until_whole(["lag"])
    with paused(campus.system):
        assert campus.write(one, "lag", "c01", "enrol")
        assert campus.read(other, "lag")
        assert campus.write(other, "lag", "c01", "drop")
        assert campus.read(one, "lag")
    campus.until_whole(["lag"])


def test_a_write_that_redis_lost_with_its_last_second_is_never_listed_as_if_whole(campus: Campus) -> None:
    """The worker is held up: nothing in Redis knows of the write any more, only the log does."""
    one, other = campus.apis
    campus.until_whole(["lost"])
    with paused(campus.system):
        moment = campus.redis.size()
        assert campus.write(one, "lost", "c02", "enrol")
        assert campus.read(other, "lost") and campus.pending("lost") == {"c02"}
        campus.redis.lose_since(moment)
        assert campus.pending("lost") == set()
        for api in campus.apis:
            until(lambda api=api: "redis" not in api.get("/readyz").json()["missing"], PATIENCE_S)
            for _ in range(20):
                assert not campus.read(api, "lost")
            until(
                lambda api=api: shard_of_user("lost").shard in api.get("/readyz").json()["degraded_shards"], PATIENCE_S
            )
        listed = campus.ask(one, "/v1/learners/nobody-else/recommendations")
        assert listed["items"]
    campus.until_whole(["lost"])
    assert campus.status["lost"] == {"c02": "enrolled"}


def test_a_merge_that_redis_lost_is_never_listed_as_if_whole(campus: Campus) -> None:
    campus.until_whole(["merged"])
    moment = campus.redis.size()
    assert campus.write(campus.apis[0], "merged", "c03", "enrol")
    until(lambda: campus.pending("merged") == set(), PATIENCE_S)  # merged
    with paused(campus.system):
        campus.redis.lose_since(moment)
        for api in campus.apis:
            until(lambda api=api: "redis" not in api.get("/readyz").json()["missing"], PATIENCE_S)
            assert not campus.read(api, "merged")
    campus.until_whole(["merged"])


def test_an_older_backup_is_never_served_as_if_whole(campus: Campus) -> None:
    campus.until_whole(["backup"])
    campus.redis.save(campus.folder / "backup")
    assert campus.write(campus.apis[0], "backup", "c04", "enrol")
    campus.until_whole(["backup"])
    with paused(campus.system):
        campus.redis.replace(campus.folder / "backup")
        for api in campus.apis:
            until(lambda api=api: "redis" not in api.get("/readyz").json()["missing"], PATIENCE_S)
            assert not campus.read(api, "backup")
    campus.until_whole(["backup"])


def test_an_api_that_starts_after_the_loss_trusts_nothing_the_log_does_not_confirm(campus: Campus) -> None:
    campus.until_whole(["start"])
    with paused(campus.system):
        moment = campus.redis.size()
        assert campus.write(campus.apis[0], "start", "c05", "enrol")
        campus.redis.lose_since(moment)
        with running_api(campus.system.stack.bootstrap_servers, campus.redis.redis_url) as third:
            until(lambda: "redis" not in third.get("/readyz").json()["missing"], PATIENCE_S)
            assert not campus.read(third, "start")
    campus.until_whole(["start"])


@pytest.mark.parametrize("seed", [1, 2])
def test_every_answer_is_right_or_says_that_it_is_not(campus: Campus, seed: int) -> None:
    """Random writes through one API, read at once through the other; Redis loses all, and the workers stand still."""
    dice, users = random.Random(seed), [f"dice-{seed}-{number}" for number in range(5)]
    campus.until_whole(users[:1])
    campus.redis.save(campus.folder / f"dice-{seed}")
    faults: list[Callable[[int], None]] = [
        campus.redis.lose_since,
        lambda _: campus.flush(),
        lambda _: campus.redis.replace(campus.folder / f"dice-{seed}"),
        lambda _: campus.redis.replace(None),
    ]
    for fault in dice.sample(faults, len(faults)):
        before, moment = campus.num_whole, campus.redis.size()
        with paused(campus.system):
            _act(campus, dice, users, 6)
            fault(moment)
            _act(campus, dice, users, 6)
        _act(campus, dice, users, 6)
        campus.until_whole(users)
        assert campus.num_whole > before


def _act(campus: Campus, dice: random.Random, users: list[str], times: int) -> None:
    """Write through one API and read through the other, so many times."""
    for _ in range(times):
        writer, reader = dice.sample(campus.apis, 2)
        user_id, what = dice.choice(users), dice.choice(("enrol", "enrol", "drop", "progress"))
        campus.write(writer, user_id, dice.choice(COURSE_IDS[:8]), what)
        campus.read(reader, user_id)
