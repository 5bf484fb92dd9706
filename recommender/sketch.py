"""Sketches of courses' texts: 256 signs from which two courses' cosine is estimated (SimHash, Charikar 2002)."""

from collections.abc import Sequence
from hashlib import shake_256
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recommender.content import Matrix
from recommender.diversity import SKETCH_BITS
from recommender.universe import Universe

_PLANES: Final = 64
"""Hyperplanes at a time, which bounds the memory."""

_QUANTILES: Final = np.array([NormalDist().inv_cdf((level + 0.5) / 256) for level in range(256)], dtype=np.float32)


def _levels(words: Sequence[str]) -> NDArray[np.uint8]:
    """Return each word's place on every hyperplane's normal, (v, 256): a quantile of the normal distribution.

    Made of the word alone, so sketches of different models are made by the same hyperplanes.
    """
    hashed = b"".join(shake_256(word.encode()).digest(SKETCH_BITS) for word in words)
    return np.frombuffer(hashed, dtype=np.uint8).reshape(-1, SKETCH_BITS)


def sketch(rows: Matrix, words: Sequence[str]) -> list[bytes]:
    """Return the sketch of each row of TF-IDF, (N, v), 32 bytes each; of an empty row an empty one."""
    levels = _levels(words)
    signs = np.empty((rows.shape[0], SKETCH_BITS), dtype=np.bool_)
    for start in range(0, SKETCH_BITS, _PLANES):
        part = slice(start, start + _PLANES)
        signs[:, part] = rows @ _QUANTILES[levels[:, part]] > 0  # (N, v) @ (v, 64)
    packed, filled = np.packbits(signs, axis=1), np.diff(rows.indptr) > 0
    return [row.tobytes() if has_words else b"" for row, has_words in zip(packed, filled.tolist(), strict=True)]


def sketches_of(universe: Universe) -> dict[str, bytes]:
    """Return the sketch of every course."""
    found = sketch(universe.words.T.tocsr(), universe.prepared.model.text.vocabulary)
    return dict(zip(universe.course_ids, found, strict=True))
