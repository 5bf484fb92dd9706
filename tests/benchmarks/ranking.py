"""What lists cost: `python tests/benchmarks/ranking.py [--courses 1000 10000] [--limit 200] [--json FILE]`.

CPU microseconds a learner on one thread, by stage, median of several runs: from packed registers to packed lists, for
a batch of learners with about 30 courses each, NeuMF of 64 dimensions, 200 item-item and up to 100 content neighbours.
Embeddings, neighbours and histories are drawn at random, evenly over the catalogue: the least overlap there can be, so
real histories cost no more. Nothing is asserted: figures, not tests.
"""

import os

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")  # before NumPy and FAISS read them

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import recommender.recommend as stages
from recommender.content import fit_text
from recommender.fold import FoldedLearner
from recommender.history import Learner, learner_of
from recommender.index import Index
from recommender.listing import Ranked
from recommender.model import LAYERS, WIDER, Ease, Floats, Model, NeuMF, Rows
from recommender.popularity import popularity_of
from recommender.recommend import Recommender, prepare
from schemas.candidates import Version
from schemas.events import Completed, Enrolled, Progressed, Rated

DIMENSIONS = 64
NEIGHBOURS = 200
TOPICS = 60


def network(random: np.random.Generator, n: int) -> NeuMF:
    """Return a NeuMF of random numbers."""
    d, k, wide, (one, two, three) = DIMENSIONS, 3, WIDER * DIMENSIONS, LAYERS

    def draw(*shape: int) -> Floats:
        return random.normal(scale=shape[-1] ** -0.5, size=shape).astype(np.float32)

    return NeuMF(
        np.array([0.0, 0.8, 0.98], dtype=np.float32), draw(n, d), draw(k, d, d), draw(d), draw(d, wide), draw(wide),
        draw(wide, d), draw(k, d, d), draw(d), draw(n, d), draw(n, d), draw(n), draw(d), draw(d, one), draw(d, one),
        draw(one), draw(one, two), draw(two), draw(two, three), draw(three), draw(three),
    )  # fmt: skip


def model_of(random: np.random.Generator, n: int) -> Model:
    """Return a model of n courses as large as a trained one."""
    columns = np.sort(np.argsort(random.random((n, n), dtype=np.float32), axis=1)[:, :NEIGHBOURS].astype(np.int32))
    indptr = np.arange(n + 1, dtype=np.int64) * NEIGHBOURS
    ease = Rows(indptr, columns.ravel(), random.normal(0.02, 0.1, n * NEIGHBOURS).astype(np.float32), n)
    words = [[f"w{topic}x{word}" for word in range(40)] for topic in range(TOPICS)]
    texts = [" ".join(random.choice(words[random.integers(TOPICS)], 12)) for _ in range(n)]
    neumf = network(random, n)
    ids = tuple(f"course-{course:05d}" for course in range(n))
    return Model(ids, fit_text(texts), neumf=neumf, ease=Ease(ease), index=Index.build(neumf).to_bytes())


def recommender_of(random: np.random.Generator, n: int) -> Recommender:
    """Return a recommender of n courses with a popularity that falls by rank."""
    model = model_of(random, n)
    counts = {course_id: {place % 60: 1 + n // (place + 1)} for place, course_id in enumerate(model.course_ids)}
    return Recommender(prepare(model), {}, popularity_of(counts))


def folded(random: np.random.Generator, course_ids: tuple[str, ...], length: int) -> FoldedLearner:
    """Return a learner's packed state: enrolments, half of them with progress, some completed or rated."""
    learner = FoldedLearner()
    for at, course in enumerate(random.choice(len(course_ids), length, replace=False).tolist(), start=1):
        common: dict[str, Any] = {"user_id": "u", "course_id": course_ids[course], "occurred_at": at}
        luck = random.random()
        learner.apply(Enrolled(event_id=f"e{at}", **common), 10**12)
        if luck < 0.5:
            learner.apply(Progressed(event_id=f"p{at}", value=luck, **common), 10**12)
        if luck < 0.2:
            learner.apply(Completed(event_id=f"c{at}", **common), 10**12)
        if luck < 0.1:
            learner.apply(Rated(event_id=f"r{at}", value=4, **common), 10**12)
    return learner


class Clock:
    """CPU seconds by stage; nested stages are counted in both."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, clocked."""

        def call(*args: Any, **named: Any) -> Any:
            start = time.process_time()
            try:
                return function(*args, **named)
            finally:
                self.spent[stage] = self.spent.get(stage, 0.0) + time.process_time() - start

        return call


def median_us(runs: int, learners: int, call: Callable[[], object]) -> float:
    """Return the median CPU time of a call in microseconds a learner, after one that does not count."""
    times = []
    for _ in range(runs + 1):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return statistics.median(times[1:]) / learners * 1e6


def by_stage(runs: int, learners: list[Learner], recommender: Recommender, limit: int) -> dict[str, float]:
    """Return the median microseconds a learner of each stage of `recommend`."""
    rounds = []
    for _ in range(runs + 1):
        clock, original = Clock(), {name: getattr(stages, name) for name in STAGES}
        for name, function in original.items():
            setattr(stages, name, clock.timed(STAGES[name], function))
        try:
            recommender.rank(learners, limit)
        finally:
            for name, function in original.items():
                setattr(stages, name, function)
        rounds.append(clock.spent)
    names = rounds[0]
    return {name: statistics.median(one[name] for one in rounds[1:]) / len(learners) * 1e6 for name in names}


STAGES = {
    "gather": "gather",
    "eligible_of": "retrieve",
    "preferred_of": "retrieve",
    "candidates_of": "retrieve",
    "score": "rank",
    "totals_of": "rank",
    "best": "rank",
    "sources_of": "explain",
    "causes_of": "explain",
    "number_causes": "assemble",
    "Lists": "assemble",
}


def renewed(ranked: list[Ranked]) -> list[Ranked]:
    """Return the same lists without what was computed for packing before."""
    fresh = {id(one.lists): replace(one.lists) for one in ranked}
    return [one._replace(lists=fresh[id(one.lists)]) for one in ranked]


def measure(courses: int, num_learners: int, limit: int, runs: int) -> dict[str, float]:
    """Return microseconds a learner by stage."""
    random = np.random.default_rng(courses)
    recommender = recommender_of(random, courses)
    lengths = np.clip(random.poisson(30, num_learners), 1, courses // 2)
    states = [folded(random, recommender.course_ids, int(length)) for length in lengths]
    learners = [state.learner() for state in states]
    found = {
        "learner_of": median_us(
            runs, num_learners, lambda: [learner_of(one.records, one.feedback, one.profile) for one in states]
        )
    }
    found |= by_stage(runs, learners, recommender, limit)
    version = Version(1, 1, 1, 1)
    ranked = recommender.rank(learners, limit)
    found["pack"] = median_us(runs, num_learners, lambda: [one.pack(version, 1) for one in renewed(ranked)])
    whole = median_us(runs, num_learners, lambda: recommender.rank(learners, limit))
    scored = recommender.components(learners, limit)
    return {**found, "learners to lists": whole, "pairs ranked": len(scored.rows) / num_learners}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--courses", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--learners", type=int, default=256)
    parser.add_argument("--limit", type=int, default=200, help="candidates a list")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = {n: measure(n, options.learners, options.limit, options.runs) for n in options.courses}
    for n, figures in found.items():
        print(
            f"{n} courses, {options.learners} learners, {options.limit} candidates: CPU us a learner", file=sys.stderr
        )
        for name, value in figures.items():
            print(f"{name:>16}  {value:8.1f}", file=sys.stderr)
    if options.json:
        options.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
