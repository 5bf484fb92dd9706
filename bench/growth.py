"""What grows with learners and courses: memory in Redis, a refresh, the start of a worker, the item-item fit, a search.

No Kafka takes part: learners are merged and their lists are made by the worker's own code, in this process. Times are
CPU seconds of this process, so other work on the machine hardly counts; what Redis spends is not in them.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from adapters.redis import Client, connect
from bench.search import SearchCost
from bench.search import measure as measure_search
from bench.training import SEED, interactions
from deploy.lock import locked
from deploy.log_lines import LogLines
from deploy.redis import EmbeddedRedis
from deploy.supervisor import Supervisor
from recommender.content import fit_text
from recommender.index import Index
from recommender.model import Model, NeuMF
from recommender.popularity import Popularity
from recommender.recommend import Recommender, prepare
from schemas.courses import Course
from schemas.events import Enrolled
from schemas.keys import ShardKeys
from schemas.settings import Connections
from stream.lists import Marked
from stream.merge import LearnerUpdate, Run, merge_run
from stream.refresh import Refresher
from stream.serving import Serving
from stream.view import ShardView, open_shard
from trainer.interactions import Interactions
from trainer.item_item import fit_item_item
from trainer.network import HistoryNeuMF
from trainer.settings import TrainerSettings

ENROLMENTS_A_LEARNER: Final = 10
CANDIDATES: Final = 96
BATCH: Final = 256
_MERGED_AT_ONCE: Final = 2_000
_WORDS: Final = 2_000


class Growth(NamedTuple):
    """The costs at one size."""

    learners: int
    courses: int
    redis_bytes_per_learner: float
    """With all lists, learners of ten courses, one register each."""
    merge_us_per_event: float
    refresh_us_per_learner: float
    start_s: float
    """From a model in memory to one that serves: what a worker does after it has read a bundle."""
    resident_mb: float
    """What the model that serves adds to the process."""
    item_item_s: float
    search: tuple[SearchCost, ...]


def measure(learners: int, courses: int) -> Growth:
    """Return the costs of so many learners and courses."""
    return asyncio.run(_measure(learners, courses))


async def _measure(learners: int, courses: int) -> Growth:
    found = interactions(learners, courses, learners * ENROLMENTS_A_LEARNER)
    model, item_item_s = _model(found)
    catalogue = {one: Course(course_id=one, title=one) for one in found.course_ids}
    resident, began = _resident_mb(), time.process_time()
    recommender = Recommender(prepare(model), catalogue, Popularity())
    start_s = time.process_time() - began
    resident_mb = _resident_mb() - resident
    async with AsyncExitStack() as stack:
        client = await _redis(stack)
        view, _ = await open_shard(client, ShardKeys(0, 0), 0)
        before, began = await _used(client), time.process_time()
        await _merge(client, view, found)
        merge_s = time.process_time() - began
        refresh_us = await _refresh(client, view, found.user_ids, Serving(recommender, 0, 0))
        used = await _used(client) - before
    return Growth(
        learners, courses, used / learners, merge_s / len(found) * 1e6, refresh_us, start_s, resident_mb, item_item_s,
        tuple(measure_search(courses)),
    )  # fmt: skip


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _model(found: Interactions) -> tuple[Model, float]:
    """Return a model of random network and texts and of fitted item-item weights, and the CPU seconds of that fit."""
    settings, words = TrainerSettings(), np.random.default_rng(SEED)
    network = HistoryNeuMF(len(found.course_ids), settings.train_dimensions, len(settings.train_decays))
    neumf = NeuMF(decays=np.array(settings.train_decays, dtype=np.float32), **network.arrays())
    text = fit_text([" ".join(f"word{i}" for i in words.integers(_WORDS, size=8)) for _ in found.course_ids])
    began = time.process_time()
    ease = fit_item_item(found, found.before(None), found.taken_before(), settings, SEED)
    spent = time.process_time() - began
    return Model(found.course_ids, text, neumf=neumf, ease=ease, index=Index.build(neumf).to_bytes()), spent


async def _redis(stack: AsyncExitStack) -> Client:
    """Start a server of our own."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="growth-")))
    lock, log = stack.enter_context(locked(folder)), stack.enter_context(LogLines())
    supervisor, redis = await stack.enter_async_context(Supervisor(log)), EmbeddedRedis(folder / "redis", lock)
    await supervisor.start(*redis.prepare())
    client = connect(Connections(redis_url=redis.redis_url, redis_cluster=False))
    stack.push_async_callback(client.aclose)
    return client


async def _used(client: Client) -> int:
    answer: Any = await client.info("memory")
    return int(answer["used_memory"])


async def _merge(client: Client, view: ShardView, found: Interactions) -> None:
    """Merge every enrolment, as the filler does."""
    for run in _runs(found):
        answer = await merge_run(client, view, run)
        if answer.status != "OK":
            raise RuntimeError(f"the merge was refused: {answer.status}")


def _runs(found: Interactions) -> Iterator[Run]:
    """Yield the enrolments as runs of one shard."""
    for first in range(0, len(found), _MERGED_AT_ONCE):
        last, updates = min(first + _MERGED_AT_ONCE, len(found)) - 1, dict[str, LearnerUpdate]()
        for offset in range(first, last + 1):
            user_id, course_id = found.user_ids[found.learner[offset]], found.course_ids[found.course[offset]]
            event = Enrolled(event_id=f"{offset}", user_id=user_id, course_id=course_id, occurred_at=offset)
            updates.setdefault(user_id, LearnerUpdate()).take(event, offset, 0)
        yield Run(first, last, updates, [], last + 1 - first)


async def _refresh(client: Client, view: ShardView, users: tuple[str, ...], serving: Serving) -> float:
    """Make everybody's list; return the CPU microseconds a learner."""
    refresher, began = Refresher(client, CANDIDATES, BATCH), time.process_time()
    for first in range(0, len(users), BATCH):
        await refresher.refresh([Marked(view, user) for user in users[first : first + BATCH]], serving)
    return (time.process_time() - began) / len(users) * 1e6
