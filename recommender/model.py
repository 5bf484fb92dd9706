"""The arrays of a model. n courses, d dimensions, K decay rates, v words.

A *bootstrap* model knows the catalogue's text only: it has no NeuMF, no EASE and no index.
"""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from recommender.blend import DEFAULT_BLEND, Blend
from schemas.errors import BundleError

if TYPE_CHECKING:
    from recommender.grades import GradesNet

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]

LAYERS: Final = (128, 64, 32)
"""Widths of the hidden layers of NeuMF's perceptron."""

WIDER: Final = 4
"""The hidden layer of the GMF vector is so many times as wide as the vector."""

DEFAULT_DECAY: Final = 0.9
"""Decay of the history per later course, where no EASE says its own."""


@dataclass(frozen=True, eq=False)
class NeuMF:
    """NeuMF with a history tower, float32; `recommender/tower.py` has its formula. Vectors are rows."""

    decays: Floats  # (K,)
    history: Floats  # (n, d), what a course adds to a history
    gmf_tower: Floats  # (K, d, d)
    gmf_empty: Floats  # (d,), the learner without a history
    gmf_in: Floats  # (d, 4 d), the hidden layer of the GMF vector
    gmf_in_bias: Floats  # (4 d,)
    gmf_back: Floats  # (4 d, d)
    mlp_tower: Floats  # (K, d, d)
    mlp_empty: Floats  # (d,)
    gmf_course: Floats  # (n, d)
    mlp_course: Floats  # (n, d)
    bias: Floats  # (n,)
    gmf_out: Floats  # (d,), weights of the GMF part in the logit
    w1_learner: Floats  # (d, 128), the learner's half of the first layer
    w1_course: Floats  # (d, 128)
    b1: Floats  # (128,)
    w2: Floats  # (128, 64)
    b2: Floats  # (64,)
    w3: Floats  # (64, 32)
    b3: Floats  # (32,)
    mlp_out: Floats  # (32,)

    def __post_init__(self) -> None:
        if self.history.ndim != 2 or self.decays.ndim != 1:
            raise BundleError("neumf: `history` is not (courses, dimensions), or `decays` is no vector")
        (n, d), k, (one, two, three) = self.history.shape, len(self.decays), LAYERS
        wanted: dict[str, tuple[int, ...]] = {
            "decays": (k,), "history": (n, d), "gmf_tower": (k, d, d), "gmf_empty": (d,), "gmf_in": (d, WIDER * d),
            "gmf_in_bias": (WIDER * d,), "gmf_back": (WIDER * d, d), "mlp_tower": (k, d, d), "mlp_empty": (d,),
            "gmf_course": (n, d), "mlp_course": (n, d), "bias": (n,), "gmf_out": (d,), "w1_learner": (d, one),
            "w1_course": (d, one), "b1": (one,), "w2": (one, two), "b2": (two,), "w3": (two, three), "b3": (three,),
            "mlp_out": (three,),
        }  # fmt: skip
        for name, shape in wanted.items():
            check_array("neumf", name, getattr(self, name), shape)


@dataclass(frozen=True, eq=False)
class Rows:
    """Sparse rows (CSR): row i has `data[indptr[i]:indptr[i+1]]` in the columns `indices[...]`, ascending."""

    indptr: NDArray[np.int64]  # (rows + 1,)
    indices: Integers  # (nnz,)
    data: Floats  # (nnz,)
    width: int

    def __post_init__(self) -> None:
        check_array("rows", "indptr", self.indptr, (len(self.indptr),), np.int64)
        check_array("rows", "indices", self.indices, (len(self.data),), np.int32)
        check_array("rows", "data", self.data, (len(self.data),))
        bounds = self.indptr
        if len(bounds) == 0 or bounds[0] != 0 or bounds[-1] != len(self.data) or (np.diff(bounds) < 0).any():
            raise BundleError("sparse rows: `indptr` does not fit `data`")
        if len(self.indices) and not 0 <= self.indices.min() <= self.indices.max() < self.width:
            raise BundleError(f"sparse rows: a column lies outside 0..{self.width - 1}")

    def __len__(self) -> int:
        return len(self.indptr) - 1


@dataclass(frozen=True, eq=False)
class Ease:
    """Item-item weights (Steck 2019): row i says what course i in the history adds to each other course's score.

    The history decays: an entry with `age` later entries counts `decay ** age`.
    """

    rows: Rows  # (n, n), the largest 200 by absolute weight a row
    decay: float = DEFAULT_DECAY


@dataclass(frozen=True, eq=False)
class Text:
    """TF-IDF of the courses' texts; rows have length 1 (or 0: a course without known words)."""

    vocabulary: tuple[str, ...]  # v words, ascending
    idf: Floats  # (v,)
    rows: Rows  # (n, v)

    def __post_init__(self) -> None:
        check_array("text", "idf", self.idf, (len(self.vocabulary),))


@dataclass(frozen=True, eq=False)
class Model:
    """A model as a bundle holds it. `index` is the serialised FAISS index (`recommender/index.py`)."""

    course_ids: tuple[str, ...]
    text: Text
    blend: Blend = DEFAULT_BLEND
    neumf: NeuMF | None = None
    ease: Ease | None = None
    index: bytes | None = None
    grades: "GradesNet | None" = None
    taken: NDArray[np.bool_] | None = None  # (n,), whether anybody had taken a course; None: it is not known

    def __post_init__(self) -> None:
        n = len(self.course_ids)
        if len(set(self.course_ids)) != n:
            raise BundleError("courses.json names a course twice")
        sizes = {"text": len(self.text.rows)}
        if self.neumf is not None:
            sizes["neumf"] = len(self.neumf.history)
        if self.ease is not None:
            sizes["ease"] = len(self.ease.rows)
        if self.grades is not None:
            sizes["grades"] = len(self.grades.history)
        if self.taken is not None:
            sizes["taken"] = len(self.taken)
        for name, size in sizes.items():
            if size != n:
                raise BundleError(f"{name} has {size} courses, courses.json {n}")
        if (self.neumf is None) != (self.index is None):
            raise BundleError("a bundle has both NeuMF and its index, or neither")

    @property
    def bootstrap(self) -> bool:
        """Whether this model knows the catalogue's text only."""
        return self.neumf is None and self.ease is None


def check_array(
    what: str,
    name: str,
    array: NDArray[np.generic],
    shape: tuple[int, ...],
    dtype: type[np.generic] = np.float32,
) -> None:
    """Raise BundleError unless an array has this shape and type and finite numbers only."""
    if array.shape != shape or array.dtype != dtype:
        raise BundleError(f"{what}: `{name}` is {array.dtype}{array.shape}, expected {np.dtype(dtype)}{shape}")
    if np.issubdtype(dtype, np.floating) and not np.isfinite(array.astype(np.float64)).all():
        raise BundleError(f"{what}: `{name}` holds NaN or infinity")


NEUMF_ARRAYS: Final = tuple(one.name for one in fields(NeuMF))
"""Names of the arrays in `neumf.npz`."""
