"""Retrieval by inner product: FAISS over [gmf_course ; bias], query [gmf_out * p_gmf ; 1]. The only use of faiss.

Flat and exact up to `EXACT_UP_TO` courses. Beyond, IVF: courses stand in cells, of which a search looks into those
nearest to the query, as many as it takes to find `RECALL` of the true first hundred of learners drawn by a fixed seed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil
from typing import Final

import faiss
import numpy as np
from numpy.typing import NDArray

from recommender.model import Floats, NeuMF
from recommender.tower import Histories, learner_vectors
from schemas.errors import BundleError

EXACT_UP_TO: Final = 20_000
"""Up to so many courses, one matrix product over the vectors of the index scores them all for a batch of learners: the
same numbers as FAISS, which takes four times as long to find the first 250 of 10,000. Beyond, FAISS is searched."""

RECALL: Final = 0.98
_FOUND: Final = 100
_LEAST_CELLS: Final = 0.1
"""Of the cells, which a search looks into at least; `_MORE` times as many again and again until enough is found."""
_MORE: Final = 1.25
_DRAWN: Final = 256
"""Learners that recall is measured on, each with a history of `_TAKEN` courses."""
_TAKEN: Final = 5
_TO_TRAIN: Final = 39
"""Courses a cell that FAISS wants, at least."""
_SEED: Final = 1


def is_large(num_courses: int) -> bool:
    """Return whether so many courses are more than are scored one and all."""
    return num_courses > EXACT_UP_TO


def queries_of(neumf: NeuMF, gmf: Floats) -> Floats:
    """Return the queries of learners' GMF vectors, (B, d + 1)."""
    ones = np.ones((len(gmf), 1), dtype=np.float32)
    return np.ascontiguousarray(np.hstack([gmf * neumf.gmf_out, ones]), dtype=np.float32)


class Index:
    """An inner-product index; rows are dense course indices."""

    def __init__(self, index: faiss.Index) -> None:
        self._index = index
        exact = index.ntotal > 0 and not is_large(index.ntotal)
        self._vectors: Floats | None = index.reconstruct_n(0, index.ntotal).T if exact else None  # (d + 1, n)

    @classmethod
    def build(cls, neumf: NeuMF) -> "Index":
        """Return the index of a model's courses."""
        rows = np.hstack([neumf.gmf_course, neumf.bias[:, None]])  # (n, d + 1)
        return cls(fitting(np.ascontiguousarray(rows, dtype=np.float32), lambda: _drawn_queries(neumf)))

    @classmethod
    def from_bytes(cls, raw: bytes, neumf: NeuMF) -> "Index":
        """Return the index that `to_bytes` wrote; BundleError if it is none, or not of this model."""
        try:
            index = faiss.deserialize_index(np.frombuffer(raw, dtype=np.uint8))
        except RuntimeError as error:
            raise BundleError(f"index.faiss cannot be read: {error}") from None
        n, d = neumf.gmf_course.shape
        if (index.ntotal, index.d) != (n, d + 1):
            raise BundleError(f"index.faiss holds {index.ntotal} x {index.d} numbers, NeuMF {n} x {d + 1}")
        return cls(index)

    def to_bytes(self) -> bytes:
        """Return the serialised index; equal vectors give equal bytes."""
        return bytes(faiss.serialize_index(self._index).tobytes())

    @property
    def share_searched(self) -> float:
        """The share of the cells that a search looks into; 1 of a flat index."""
        return self._index.nprobe / self._index.nlist if isinstance(self._index, faiss.IndexIVF) else 1.0

    def search(self, queries: Floats, count: int) -> tuple[NDArray[np.int64], Floats]:
        """Return (courses, scores) of the best `count` courses a query, (B, min(count, n)), best first."""
        count = min(count, self._index.ntotal)
        if count == 0 or len(queries) == 0:
            return np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
        scores, courses = self._index.search(queries, count)
        return courses, scores

    def scores(self, queries: Floats) -> Floats | None:
        """Return the scores of all courses, (B, n); None if there are more than `EXACT_UP_TO`."""
        if self._vectors is None:
            return None
        with np.errstate(invalid="ignore"):  # a BLAS may raise the flag for lanes it does not use; all here is finite
            found: Floats = queries @ self._vectors
        return found


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let FAISS use one thread: what it sums up does not depend on how many there are."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def fitting(rows: Floats, draw: Callable[[], Floats]) -> faiss.Index:
    """Return the index that suits so many rows, (n, d); of many it finds `RECALL` of the best for drawn queries."""
    flat = faiss.IndexFlatIP(rows.shape[1])
    flat.add(rows)
    if not is_large(len(rows)):
        return flat
    num_cells = max(min(round(4 * len(rows) ** 0.5), len(rows) // _TO_TRAIN), 1)
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(rows.shape[1]), rows.shape[1], num_cells, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed = _SEED
    with _one_thread():
        index.train(rows)
        index.add(rows)
        queries = draw()
        best = flat.search(queries, _FOUND)[1]
        index.nprobe = max(round(_LEAST_CELLS * num_cells), 1)
        while index.nprobe < num_cells and _recall(index.search(queries, _FOUND)[1], best) < RECALL:
            index.nprobe = min(ceil(_MORE * index.nprobe), num_cells)
    return index


def _recall(found: NDArray[np.int64], best: NDArray[np.int64]) -> float:
    """Return the share of what is best that was found, (q, k) each.

    >>> _recall(np.array([[1, 2], [3, 4]]), np.array([[2, 1], [3, 9]]))
    0.75
    """
    return float(np.mean([np.isin(true, own).mean() for own, true in zip(found, best, strict=True)]))


def _drawn_queries(neumf: NeuMF) -> Floats:
    """Return the queries of learners with courses drawn at random, (q, d + 1)."""
    courses = np.random.default_rng(_SEED).integers(len(neumf.history), size=_DRAWN * _TAKEN).astype(np.int32)
    starts, positions = np.arange(_DRAWN + 1) * _TAKEN, np.tile(np.arange(_TAKEN, dtype=np.int32), _DRAWN)
    histories = Histories(starts, courses, np.ones(len(courses), dtype=np.float32), positions)
    return queries_of(neumf, learner_vectors(neumf, histories).gmf)
