"""What grows with learners and courses: bytes of Redis, merges, refreshes, a sweep, a start, a fit, the API, a search.

No Kafka takes part: learners are merged and their lists are made by the worker's own code, in this process. Times are
CPU seconds of this process, so other work on the machine hardly counts; what Redis spends stands beside them.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from bench import api_memory
from bench.drawn_model import drawn_weights, fitted, model_of, size_mb
from bench.processes import peak_mb, reset_peak
from bench.search import SearchCost
from bench.search import measure as measure_search
from bench.shard import OwnShard, own_shard
from bench.sweep import sweep
from bench.training import interactions
from recommender.bundle import read_model, save_model
from recommender.model import Model
from recommender.popularity import Popularity
from recommender.recommend import Recommender, prepare
from schemas.courses import Course
from schemas.events import Enrolled, LearnerEvent, Progressed, Rated
from stream.serving import Serving
from trainer.interactions import Interactions

ENROLMENTS_A_LEARNER: Final = 10
_MOST_LISTED: Final = 100_000
"""Of more learners these, active last, have lists made and swept: each costs what the others would."""
_LONG: Final = 30
"""Courses of a learner with a long history."""
_LONG_LEARNERS: Final = 500


class Growth(NamedTuple):
    """The costs at one size. Bytes of Redis are of a learner with a list, the embedding and ten courses, or thirty."""

    learners: int
    courses: int
    redis_bytes: float
    redis_bytes_30: float
    redis_bytes_30_progress_rating: float
    """With three registers a course."""
    merge_us_per_event: float
    redis_merge_us_per_event: float
    refresh_us_per_learner: float
    redis_refresh_us_per_learner: float
    swept: int
    sweep_us_per_learner: float
    round_ms: float
    fresh_rounds: int
    bundle_mb: float
    load_s: float
    """From the files of a bundle, without their digests, to a model in memory."""
    start_s: float
    """From there to one that serves: what a worker does after it has read a bundle."""
    resident_mb: float
    """What the model that serves adds to the process, and the most on the way there."""
    start_peak_mb: float
    item_item_s: float
    """0: not fitted."""
    item_item_peak_mb: float
    api_mb: float
    api_titles_mb: float
    api_titles_s: float
    api_cards_mb: float
    search: tuple[SearchCost, ...]


def _tell(done: str) -> None:
    print(f"{done}: {time.process_time():,.0f} s of CPU", file=sys.stderr, flush=True)


class _Start(NamedTuple):
    bundle_mb: float
    load_s: float
    start_s: float
    resident_mb: float
    start_peak_mb: float


def measure(learners: int, courses: int, fit: bool = True) -> Growth:
    """Return the costs of so many learners and courses; without a `fit`, item-item weights are drawn."""
    return asyncio.run(_measure(learners, courses, fit))


async def _measure(learners: int, courses: int, fit: bool) -> Growth:
    found = interactions(learners, courses, learners * ENROLMENTS_A_LEARNER)
    weights = fitted(found) if fit else drawn_weights(courses)
    recommender, start = _started(model_of(found.course_ids, weights.ease))
    _tell("the model serves")
    async with own_shard() as shard:
        streamed = await _stream(shard, found, recommender)
        _tell("learners are merged, listed and swept")
        await api_memory.write_cards(shard.client, found.course_ids)
        api = await asyncio.to_thread(api_memory.measure, shard.redis_url)
    figures: dict[str, Any] = {**streamed, **start._asdict(), **api}
    figures |= {"item_item_s": weights.spent_s, "item_item_peak_mb": weights.peak_mb}
    return Growth(learners=learners, courses=courses, **figures, search=tuple(measure_search(courses)))


def _started(model: Model) -> tuple[Recommender, _Start]:
    """Return what serves, as a worker starts it from a bundle, and what that cost."""
    catalogue = {one: Course(course_id=one, title=one) for one in model.course_ids}
    with tempfile.TemporaryDirectory(prefix="growth-") as name:
        folder = Path(name)
        save_model(folder, model)
        held, began, bundle_mb = reset_peak(), time.process_time(), size_mb(folder)
        loaded = read_model(folder, [path.name for path in folder.iterdir()])
    read = time.process_time()
    recommender = Recommender(prepare(loaded), catalogue, Popularity())
    ready = time.process_time()
    peak = peak_mb() - held
    return recommender, _Start(bundle_mb, read - began, ready - read, reset_peak() - held, peak)


async def _stream(shard: OwnShard, found: Interactions, recommender: Recommender) -> dict[str, Any]:
    """Merge every enrolment, make lists, make them anew for another model; return what that cost."""
    begun = await shard.spent()
    await shard.merge(_enrolments(found))
    merged = await shard.spent()
    events = len(found)
    listed = found.user_ids[-_MOST_LISTED:]
    await shard.forget_marks()
    histories, serving = await shard.spent(), Serving(recommender, 0, 0)
    await shard.refresh(listed, serving)
    refreshed = await shard.spent()
    fresh = iter(range(10**9))

    async def enrol() -> str:
        number = next(fresh)
        user_id, course_id = found.user_ids[number % len(found.user_ids)], found.course_ids[-1 - number % 7]
        await shard.merge([_enrolled(f"fresh{number}", user_id, course_id, 10**9 + number)])
        return user_id

    swept = await sweep(shard.client, shard.view, Serving(recommender, 1, 0), shard.refresher, len(listed), enrol)
    return {
        "redis_bytes": (histories.bytes - begun.bytes) / len(found.user_ids)
        + (refreshed.bytes - histories.bytes) / len(listed),
        "redis_bytes_30": await _long_bytes(shard, found.course_ids, serving, 1),
        "redis_bytes_30_progress_rating": await _long_bytes(shard, found.course_ids, serving, 3),
        "merge_us_per_event": (merged.own_s - begun.own_s) / events * 1e6,
        "redis_merge_us_per_event": (merged.redis_s - begun.redis_s) / events * 1e6,
        "refresh_us_per_learner": (refreshed.own_s - histories.own_s) / len(listed) * 1e6,
        "redis_refresh_us_per_learner": (refreshed.redis_s - histories.redis_s) / len(listed) * 1e6,
        "swept": swept.learners,
        "sweep_us_per_learner": swept.us_per_learner,
        "round_ms": swept.round_ms,
        "fresh_rounds": swept.fresh_rounds,
    }


def _enrolled(event_id: str, user_id: str, course_id: str, at: int) -> Enrolled:
    return Enrolled(event_id=event_id, user_id=user_id, course_id=course_id, occurred_at=at)


def _enrolments(found: Interactions) -> Iterator[LearnerEvent]:
    for at, (learner, course) in enumerate(zip(found.learner, found.course, strict=True)):
        yield _enrolled(f"{at:036}", found.user_ids[learner], found.course_ids[course], at)


async def _long_bytes(shard: OwnShard, course_ids: tuple[str, ...], serving: Serving, registers: int) -> float:
    """Return the bytes of a learner with thirty courses, so many registers each."""
    users = [f"long{registers}-{number:05}" for number in range(_LONG_LEARNERS)]
    before = await shard.spent()
    await shard.merge(_long_histories(users, course_ids, registers))
    await shard.refresh(users, serving)
    return ((await shard.spent()).bytes - before.bytes) / len(users)


def _long_histories(users: list[str], course_ids: tuple[str, ...], registers: int) -> Iterator[LearnerEvent]:
    for number, user_id in enumerate(users):
        for place in range(min(_LONG, len(course_ids) // 2)):
            course_id, at = course_ids[(number * 7 + place) % len(course_ids)], number * 100 + place
            first = _enrolled(f"{at:036}", user_id, course_id, at)
            progress = Progressed(
                event_id=f"p{at:035}", user_id=user_id, course_id=course_id, occurred_at=at, value=0.5
            )
            rated = Rated(event_id=f"r{at:035}", user_id=user_id, course_id=course_id, occurred_at=at, value=4)
            yield from (first, progress, rated)[:registers]
