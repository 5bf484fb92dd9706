"""Redis lost while the API serves: degraded answers, a rebuild without a human, and no half history served as whole."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from redis import Redis

from adapters.follow import append_control
from adapters.kafka import shard_of
from schemas.candidates import unpack_version
from schemas.control import ModelPromoted
from schemas.events import Enrolled, Erased
from schemas.keys import SHARED_META, ShardKeys
from tests.api_server import Switched, bearer, running_api, until
from tests.integration.campus import COURSE_IDS
from tests.integration.workers import PARTITIONS, System, connected, paused, publish, running_system, shard_of_user

pytestmark = pytest.mark.timeout(900)
PATIENCE_S: Final = 90
USERS: Final = [f"learner-{number}" for number in range(24)]
ERASED: Final = "erased"


def _courses_of(number: int) -> list[str]:
    return sorted({COURSE_IDS[number % 5], COURSE_IDS[5 + number % 3], COURSE_IDS[8]})


COURSES: Final = {user_id: _courses_of(number) for number, user_id in enumerate(USERS)} | {ERASED: []}


class Campus:
    """An API over a running system whose Redis a test may lose."""

    def __init__(self, system: System, redis: Switched, api: httpx.Client, folder: Path) -> None:
        self.system, self.redis, self.api, self.folder = system, redis, api, folder
        self.lists: dict[str, list[str]] = {}

    def ask(self, path: str) -> Any:
        """Ask; it must be answered."""
        answer = self.api.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def degraded_shards(self) -> list[int]:
        """Return the shards that health names; on a busy machine Kafka may be missing now and then."""
        named: list[int] = self.api.get("/readyz").json()["degraded_shards"]
        return named

    def listed(self, user_id: str) -> tuple[list[str], bool]:
        """Return a learner's list, and whether it is degraded."""
        found = self.ask(f"/v1/learners/{user_id}/recommendations?limit=100&explore=false")
        return [item["course_id"] for item in found["items"]], found["degraded"]

    def is_whole(self) -> bool:
        """Whether every list is what it was before, and no shard is degraded."""
        if self.degraded_shards():
            return False
        return all(self.listed(user_id) == (stood, False) for user_id, stood in self.lists.items())

    def client(self) -> "Redis":
        """Connect to Redis."""
        return Redis.from_url(self.redis.redis_url)


async def _furnish(system: System) -> None:
    """Publish what the learners did; then have every list made anew, with the popularity that all of it makes."""
    events = [
        Enrolled(event_id=f"{user_id} {course_id}", user_id=user_id, course_id=course_id, occurred_at=1_700_000_000)
        for user_id, courses in COURSES.items()
        for course_id in courses
    ]
    gone = Enrolled(event_id="gone", user_id=ERASED, course_id=COURSE_IDS[0], occurred_at=1_700_000_000)
    async with connected(system) as (client, producer):
        await publish(producer, [*events, gone, Erased(event_id="erase", user_id=ERASED, occurred_at=1_700_000_001)])
        await system.caught_up(client)
        applied = " ".join(["0", *(str(end - 1) for end in await system.ends())])
        end_s = time.monotonic() + PATIENCE_S
        while (await client.hget(SHARED_META, "counted")) != applied.encode():
            assert time.monotonic() < end_s
            await asyncio.sleep(0.05)
        await asyncio.sleep(2)  # that one worker has summed the counts; the other does each .3 s
        epoch = await append_control(system.stack.bootstrap_servers, ModelPromoted(version="m-0"))
        while (await client.hget(SHARED_META, "model_epoch")) != str(epoch).encode():
            assert time.monotonic() < end_s
            await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def campus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campus]:
    folder = tmp_path_factory.mktemp("redis-lost")
    redis = Switched(folder / "redis").on()
    with ExitStack() as exits:
        exits.callback(redis.off)
        system = exits.enter_context(running_system(folder, ["w1", "w2"], redis_url=redis.redis_url, STALL_S="600"))
        redis.save(folder / "early")
        asyncio.run(_furnish(system))
        api = exits.enter_context(running_api(system.stack.bootstrap_servers, redis.redis_url, READ_TIMEOUT_S="5"))
        campus = Campus(system, redis, api, folder)
        until(lambda: not campus.degraded_shards(), PATIENCE_S)
        until(lambda: all(_is_current(campus, user_id) for user_id in USERS), PATIENCE_S)
        campus.lists = {user_id: campus.listed(user_id)[0] for user_id in USERS}
        yield campus


def _is_current(campus: Campus, user_id: str) -> bool:
    """Whether a learner's list is of the model that was promoted last."""
    with campus.client() as client:
        packed: Any = client.get(shard_of_user(user_id).candidates(user_id))
        epoch: Any = client.hget(SHARED_META, "model_epoch")
    return bool(packed) and unpack_version(packed).model_epoch == int(epoch)


def _nonces(campus: Campus) -> list[bytes | None]:
    with campus.client() as client:
        found: list[Any] = [client.hget(ShardKeys(shard, 0).meta, "nonce") for shard in range(PARTITIONS)]
    return found


class Readers:
    """Ask for all learners all the time, and follow one.

    `exact`: every whole list must be the one before. Of a backup that was live the histories are brought up to date
    first, and lists then follow as they follow events.
    """

    def __init__(self, campus: Campus, exact: bool) -> None:
        self._campus, self._exact = campus, exact
        self._done = threading.Event()
        self.whole, self.degraded = 0, 0
        self.told: list[bool] = []
        self.wrong: list[Any] = []

    @contextmanager
    def reading(self) -> Iterator["Readers"]:
        """Read for as long as the context lasts; what was wrong is said at its end."""
        threads = [threading.Thread(target=work, daemon=True) for work in (self._read, self._follow)]
        for thread in threads:
            thread.start()
        try:
            until(lambda: self.whole > len(COURSES) and self.told, PATIENCE_S)
            yield self
        finally:
            self._done.set()
            threads[0].join(PATIENCE_S)
        assert not self.wrong

    def _read(self) -> None:
        with httpx.Client(base_url=self._campus.api.base_url, headers=bearer(), timeout=20) as client:
            while not self._done.is_set():
                for user_id, courses in COURSES.items():
                    self._judge(client, user_id, courses)
                    time.sleep(0.01)  # two threads asking without a pause would leave the workers little

    def _judge(self, client: httpx.Client, user_id: str, courses: list[str]) -> None:
        listed = client.get(f"/v1/learners/{user_id}/recommendations", params={"limit": 100, "explore": False}).json()
        ids = [item["course_id"] for item in listed["items"]]
        is_other = self._exact and ids != self._campus.lists.get(user_id, ids)
        if not ids or (not listed["degraded"] and (is_other or set(ids) & set(courses))):
            self.wrong.append((user_id, listed))
        page = client.get(f"/v1/learners/{user_id}")
        if page.status_code == 503 or page.json()["degraded"]:
            self.degraded += 1
            return
        self.whole += 1
        shown = sorted(one["course_id"] for one in page.json()["courses"])
        if shown != courses:
            self.wrong.append((user_id, shown))

    def _follow(self) -> None:
        with (
            httpx.Client(base_url=self._campus.api.base_url, headers=bearer(), timeout=None) as client,
            client.stream("GET", f"/v1/learners/{USERS[0]}/changes") as answer,
        ):
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    self.told.append(json.loads(line.removeprefix("data: "))["degraded"])
                if self._done.is_set():
                    return


def _flush(campus: Campus) -> None:
    with campus.client() as client:
        client.flushall()


BACKUP: Final = "replaced by an older backup"
LOSSES: Final[dict[str, Callable[[Campus], None]]] = {
    "emptied": _flush,
    "started again over an empty disk": lambda campus: campus.redis.replace(None),
    BACKUP: lambda campus: campus.redis.replace(campus.folder / "early"),
}


@pytest.mark.parametrize("how", LOSSES)
def test_a_lost_redis_is_rebuilt_and_every_answer_meanwhile_is_right_or_degraded(campus: Campus, how: str) -> None:
    before = _nonces(campus)
    with Readers(campus, exact=how != BACKUP).reading() as readers:
        LOSSES[how](campus)
        until(lambda: readers.degraded > 0, PATIENCE_S)
        until(lambda: True in readers.told, PATIENCE_S)
        until(campus.is_whole, PATIENCE_S)
        whole = readers.whole
        until(lambda: readers.whole > whole + len(COURSES) and readers.told[-1] is False, PATIENCE_S)
    assert readers.told[0] is False
    assert how == BACKUP or _nonces(campus) != before
    assert campus.ask(f"/v1/learners/{ERASED}")["courses"] == []
    assert "coursestream_degraded_shards 0.0" in campus.api.get("/metrics").text
    popular = campus.ask("/v1/courses/popular")
    assert popular["items"]


def test_while_the_shards_are_gone_health_metrics_and_lag_say_so(campus: Campus) -> None:
    with paused(campus.system):
        _flush(campus)
        everyone = list(range(PARTITIONS))
        until(lambda: campus.degraded_shards() == everyone, PATIENCE_S)
        assert f"coursestream_degraded_shards {PARTITIONS}.0" in campus.api.get("/metrics").text
        end = asyncio.run(campus.system.ends())[shard_of(USERS[0], PARTITIONS)]
        assert campus.ask(f"/v1/learners/{USERS[0]}/recommendations")["lag"] == end > 0
        shown, degraded = campus.listed(USERS[0])
        assert shown and degraded
    until(campus.is_whole, PATIENCE_S)


@pytest.mark.parametrize("how", ["empty", "away"])
def test_an_api_that_starts_without_redis_shows_the_catalogue(campus: Campus, how: str) -> None:
    """Nobody writes the shared lists meanwhile, and this process has never seen any."""
    with ExitStack() as exits:
        exits.enter_context(paused(campus.system))
        if how == "empty":
            _flush(campus)
        else:
            exits.callback(campus.redis.on)
            campus.redis.off()
        api = exits.enter_context(running_api(campus.system.stack.bootstrap_servers, campus.redis.redis_url))

        def shown() -> list[str]:
            answer = api.get("/v1/learners/somebody/recommendations", params={"limit": 100})
            assert answer.status_code in (200, 503), answer.text
            assert answer.status_code == 503 or answer.json()["degraded"]
            return [item["title"] for item in answer.json().get("items", ())]

        until(lambda: len(shown()) == len(COURSE_IDS), PATIENCE_S)
        assert all(title.startswith("sql") for title in shown())
        assert api.get("/v1/courses/c01").status_code == 200
    until(campus.is_whole, PATIENCE_S)
