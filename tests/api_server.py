"""The real API as a process of its own, before a real Kafka, over a Redis that a test may fill, empty and stop."""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Self

import httpx
import jwt
import msgspec
from redis import Redis

from adapters.kafka import end_offsets, open_reader, shard_of
from deploy.ports import free_port
from recommender.shared import FACETS
from schemas.candidates import Candidate, CandidateList, Source, Version, pack_candidates
from schemas.cards import Card, pack_card
from schemas.keys import (
    CHANGED,
    SHARED_CARDS,
    SHARED_COLD,
    SHARED_LATEST,
    SHARED_META,
    SHARED_POPULAR,
    SHARED_SIMILAR,
    SHARED_TRENDING,
    ShardKeys,
)
from schemas.meta import HEADER_FIELD, Header, pack_header
from schemas.topics import LEARNER_EVENTS
from tests.servers import running_redis

SECRET: Final = "a secret of the tests, 32 bytes or more"
PARTITIONS: Final = 4
EVERYTHING: Final = "learner publisher reader operator admin"


def token(subject: str = "tester", scope: str = EVERYTHING, ttl_s: int = 600, **claims: Any) -> str:
    """Return a signed token."""
    return jwt.encode({"sub": subject, "scope": scope, "exp": time.time() + ttl_s, **claims}, SECRET, "HS256")


def bearer(subject: str = "tester", scope: str = EVERYTHING) -> dict[str, str]:
    """Return the header that makes a request this caller's."""
    return {"Authorization": f"Bearer {token(subject, scope)}"}


_log: list[str] = []
"""The Kafka of the API that was started last: where its log ends, a shard has merged everything."""


async def _ends(bootstrap_servers: str) -> dict[int, int]:
    async with open_reader(bootstrap_servers) as reader:
        return {place.partition: end for place, end in (await end_offsets(reader, LEARNER_EVENTS)).items()}


def log_ends() -> dict[int, int]:
    """Return where each partition of the log ends."""
    with ThreadPoolExecutor(1) as thread:  # the caller may have a loop of his own
        return thread.submit(asyncio.run, _ends(_log[-1])).result()


@contextmanager
def running_api(bootstrap_servers: str, redis_url: str, **environment: str) -> Iterator[httpx.Client]:
    """Run the API and return a client that may do everything."""
    _log.append(bootstrap_servers)
    port = free_port()
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "REDIS_URL": redis_url,
        "API_PORT": str(port),
        "JWT_SECRET": SECRET,
        "SHARED_POLL_S": "0.1",
        "INGEST_TIMEOUT_S": "2",
        "READ_TIMEOUT_S": "0.5",
        "LOG_LEVEL": "warning",
        **environment,
    }
    process = subprocess.Popen((sys.executable, "-m", "api"), env={**os.environ, **settings})
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=url, headers=bearer(), timeout=20) as client:
            until(lambda: process.poll() is None and _is_up(client), 90)
            yield client
    finally:
        process.terminate()
        try:
            process.wait(10)
        finally:
            process.kill()  # nothing is left behind by an API that does not stop
            process.wait()


def _is_up(client: httpx.Client) -> bool:
    try:
        return client.get("/livez").status_code == 200
    except httpx.TransportError:
        return False


def until(condition: Any, timeout_s: float = 20) -> None:
    """Wait until `condition()` holds."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.02)


def row(course_id: str, score: float, source: Source = Source.COLLABORATIVE, cause: int | None = None) -> Candidate:
    """Return a candidate whose content component falls where its score rises."""
    return Candidate(course_id, score, (score, 0.0, 1 - score, score, 0.0), source, cause)


def listed(candidates: Sequence[Candidate], version: Version, causes: tuple[str, ...] = ()) -> bytes:
    """Return a packed list made now."""
    return pack_candidates(CandidateList(version, time.time_ns() // 1_000, causes, tuple(candidates)))


class State:
    """Fills Redis as the stream does."""

    def __init__(self, redis: Redis, model_epoch: int = -1) -> None:
        self.redis = redis
        self._model_epoch = model_epoch

    def keys(self, user_id: str) -> ShardKeys:
        """Return the keys of a learner's shard."""
        return ShardKeys(shard_of(user_id, PARTITIONS), 0)

    def open_shards(self, applied: int | None = None, status: str = "live") -> None:
        """Give every shard a meta that says it is merged up to `applied`, or to where the log ends."""
        ends = log_ends()
        for shard in range(PARTITIONS):
            offset = ends.get(shard, 0) - 1 if applied is None else applied
            fields: dict[Any, Any] = {"generation": 0, "status": status, "nonce": "0" * 32, "applied": offset}
            self.redis.hset(ShardKeys(shard, 0).meta, mapping=fields)

    def set_applied(self, user_id: str, applied: int) -> None:
        """Say up to where the learner's shard is merged."""
        self.redis.hset(self.keys(user_id).meta, "applied", str(applied))

    def write_learner(self, user_id: str, records: Mapping[str, bytes], header: Header) -> None:
        """Write a history."""
        fields: dict[Any, Any] = {HEADER_FIELD: pack_header(header), **records}
        self.redis.hset(self.keys(user_id).history(user_id), mapping=fields)

    def write_list(
        self,
        user_id: str,
        candidates: Sequence[Candidate],
        offset: int = 0,
        causes: tuple[str, ...] = (),
    ) -> None:
        """Write a learner's list, made from the learner's events up to `offset`."""
        version = Version(self._model_epoch, 0, offset, -1)
        self.redis.set(self.keys(user_id).candidates(user_id), listed(candidates, version, causes))

    def notify(self, *user_ids: str) -> None:
        """Say whose list was replaced."""
        self.redis.publish(CHANGED, msgspec.msgpack.encode(user_ids))

    def write_cold(self, candidates: Sequence[Candidate]) -> None:
        """Write what a learner nobody knows gets, over all courses."""
        self.redis.delete(SHARED_COLD)
        self.redis.hset(SHARED_COLD, "", listed(candidates, Version(self._model_epoch, 0, -1, -1)))

    def write_shared(self, cards: Sequence[Card], popular: Sequence[Candidate], epoch: int = 0) -> None:
        """Write the shared keys: lists over all and by facet, similar courses and cards."""
        version = Version(self._model_epoch, epoch, -1, -1)
        facets: dict[Any, Any] = {"": listed(popular, version)}
        for facet, value in {(name, getattr(card, name)) for card in cards for name in FACETS} - {
            (name, "") for name in FACETS
        }:
            own = {card.course_id for card in cards if getattr(card, facet) == value}
            facets[f"{facet}={value}"] = listed([one for one in popular if one.course_id in own], version)
        pipeline = self.redis.pipeline(transaction=True)
        for key in (SHARED_POPULAR, SHARED_TRENDING, SHARED_LATEST):
            pipeline.delete(key)
            pipeline.hset(key, mapping=facets)
        similar: dict[Any, Any] = {popular[0].course_id: listed(popular[1:], version)}
        pipeline.hset(SHARED_SIMILAR, mapping=similar)
        packed: dict[Any, Any] = {card.course_id: pack_card(card) for card in cards}
        pipeline.hset(SHARED_CARDS, mapping=packed)
        made_from: dict[Any, Any] = {"model_epoch": self._model_epoch, "catalogue_epoch": epoch, "similar": "0 0"}
        pipeline.hset(SHARED_META, mapping=made_from)
        pipeline.execute()


_APPENDED_S: Final = 10.0


class Switched:
    """A Redis that can be turned off and on again at the same address."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running = ExitStack()
        self.redis_url = ""

    def on(self) -> Self:
        """Start the server."""
        self.redis_url = self._running.enter_context(running_redis(self._folder)).redis_url
        return self

    def off(self) -> None:
        """Kill the server."""
        self._running.close()

    @property
    def _appended(self) -> Path:
        """The file that commands are appended to."""
        return max(self._folder.glob("appendonlydir/*.incr.aof"), key=lambda path: path.stat().st_mtime)

    def size(self) -> int:
        """Return how much was appended so far: a moment that `lose_since` may go back to."""
        return self._appended.stat().st_size

    def lose_since(self, size: int) -> None:
        """Kill the server and start it again without what was appended since: that never reached the disk.

        It may put off an append for up to two seconds while the disk is slow to sync.
        """
        deadline = time.monotonic() + _APPENDED_S
        while self.size() <= size and time.monotonic() < deadline:
            time.sleep(0.02)
        self.off()
        assert self.size() > size, "nothing was written that could be lost"
        os.truncate(self._appended, size)
        self.on()

    def save(self, backup: Path) -> None:
        """Copy what is on disk."""
        shutil.copytree(self._folder / "appendonlydir", backup)

    def replace(self, backup: Path | None) -> None:
        """Kill the server and start it again over a backup, or over an empty disk."""
        self.off()
        shutil.rmtree(self._folder / "appendonlydir")
        if backup:
            shutil.copytree(backup, self._folder / "appendonlydir")
        self.on()
