"""Retrieval by inner product: FAISS over [gmf_course ; bias], query [gmf_out * p_gmf ; 1]. The only use of faiss."""

from typing import Final

import faiss
import numpy as np
from numpy.typing import NDArray

from recommender.model import Floats, NeuMF
from schemas.errors import BundleError

EXACT_UP_TO: Final = 20_000
"""Up to so many courses, one matrix product over the vectors of the index scores them all for a batch of learners: the
same numbers as FAISS, which takes four times as long to find the first 250 of 10,000. Beyond, FAISS is searched."""


def queries_of(neumf: NeuMF, gmf: Floats) -> Floats:
    """Return the queries of learners' GMF vectors, (B, d + 1)."""
    ones = np.ones((len(gmf), 1), dtype=np.float32)
    return np.ascontiguousarray(np.hstack([gmf * neumf.gmf_out, ones]), dtype=np.float32)


class Index:
    """A flat (exact) inner-product index; rows are dense course indices."""

    def __init__(self, index: faiss.Index) -> None:
        self._index = index
        exact = 0 < index.ntotal <= EXACT_UP_TO
        self._vectors: Floats | None = index.reconstruct_n(0, index.ntotal).T if exact else None  # (d + 1, n)

    @classmethod
    def build(cls, neumf: NeuMF) -> "Index":
        """Return the index of a model's courses."""
        rows = np.hstack([neumf.gmf_course, neumf.bias[:, None]])  # (n, d + 1)
        index = faiss.IndexFlatIP(rows.shape[1])
        index.add(np.ascontiguousarray(rows, dtype=np.float32))
        return cls(index)

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
