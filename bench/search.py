"""Search by inner product among many courses: flat, HNSW, IVF and what is served, each beside all products.

Vectors are drawn: courses stand around the topics they belong to, learners around the mean of a few courses.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from recommender.index import fitting
from recommender.model import Floats

DIMENSIONS: Final = 64
FOUND: Final = 100
QUERIES: Final = 200
_COURSES_A_TOPIC: Final = 50
_LINKS: Final = 32
_LOOKED_AT: Final = 256
"""Entries an HNSW search keeps in hand."""
_CELLS_LOOKED_INTO: Final = 0.1
"""Of the cells of IVF, of which there are four times the square root of the courses."""


class SearchCost(NamedTuple):
    """A way to search: the share of the true first hundred that it finds, CPU ms a query, CPU seconds to build."""

    kind: str
    recall: float
    ms: float
    build_s: float


def vectors(courses: int, queries: int, seed: int = 1) -> tuple[Floats, Floats]:
    """Return vectors of courses, (n, d), and of learners, (q, d)."""
    random = np.random.default_rng(seed)
    topics = random.normal(size=(max(courses // _COURSES_A_TOPIC, 1), DIMENSIONS))
    own = topics[random.integers(len(topics), size=courses)] + 0.5 * random.normal(size=(courses, DIMENSIONS))
    taken = own[random.integers(courses, size=(queries, 3))].mean(axis=1)  # (q, d)
    return own.astype(np.float32), taken.astype(np.float32)


def measure(courses: int) -> list[SearchCost]:
    """Return what each kind of index costs among so many courses."""
    own, queries = vectors(courses, 2 * QUERIES)
    queries, others = np.split(queries, 2)  # what is served is chosen by others than it is measured by
    best = np.argpartition(-(queries @ own.T), min(FOUND, courses - 1), axis=1)[:, :FOUND]  # (q, FOUND)
    kinds = [(kind, partial(_built, make, own), together) for kind, make, together in _KINDS]
    served = ("served", partial(fitting, own, lambda: others), 1)
    return [_cost(kind, build, queries, best, together) for kind, build, together in (*kinds, served)]


def _built(make: Callable[[int], faiss.Index], own: Floats) -> faiss.Index:
    index = make(len(own))
    if not index.is_trained:
        index.train(own)
    index.add(own)
    return index


def _cost(
    kind: str, build: Callable[[], faiss.Index], queries: Floats, best: NDArray[np.int64], together: int
) -> SearchCost:
    began = time.process_time()
    index = build()
    built = time.process_time()
    parts = [queries[first : first + together] for first in range(0, len(queries), together)]
    found = np.concatenate([index.search(part, FOUND)[1] for part in parts])  # (q, FOUND)
    ms = (time.process_time() - built) / len(queries) * 1e3
    shared = [len(set(one) & set(other)) for one, other in zip(found.tolist(), best.tolist(), strict=True)]
    return SearchCost(kind, sum(shared) / best.size, ms, built - began)


def _flat(_courses: int) -> faiss.Index:
    return faiss.IndexFlatIP(DIMENSIONS)


def _hnsw(_courses: int) -> faiss.Index:
    index = faiss.IndexHNSWFlat(DIMENSIONS, _LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efSearch = _LOOKED_AT
    return index


def _ivf(courses: int) -> faiss.Index:
    cells = min(max(round(4 * courses**0.5), 1), courses // 39 or 1)  # FAISS wants 39 vectors to train a cell
    quantiser = faiss.IndexFlatIP(DIMENSIONS)
    index = faiss.IndexIVFFlat(quantiser, DIMENSIONS, cells, faiss.METRIC_INNER_PRODUCT)
    index.nprobe = max(round(cells * _CELLS_LOOKED_INTO), 1)
    return index


_KINDS: Final = (("flat", _flat, 1), ("flat, batched", _flat, 64), ("hnsw", _hnsw, 1), ("ivf", _ivf, 1))
"""The kinds, and how many learners are looked up at once: a worker's batch, or one who waits."""
