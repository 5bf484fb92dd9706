"""The grade a learner will get in a course, as a fraction 0..1, from nothing but ids and grades of what he took.

For grades r_j in courses c_j, oldest first, and decay rates g_k:

    w_kj = g_k ** age / (sum_j g_k ** age + shrinkage)         age: number of later grades
    m_k  = sum_j w_kj (r_j - mean[c_j]) H[c_j]                 how much better than expected, and in what
    m_k' = sum_j w_kj H[c_j]                                   what was taken at all
    p_g, p_m = [m; m'] @ tower + empty
    grade = bias[c] + p_g . q_g[c] + mlp_out . MLP([p_m; q_m[c]])

the recommender's network (GMF and MLP over a learner who is the pooled embeddings of his own history), here without a
sigmoid and with a grade for its target. It needs NumPy alone: the API answers a grade sheet with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from recommender.model import LAYERS, Floats, Integers, check_array
from schemas.errors import BundleError

MAX_GRADES: Final = 100
"""Only the newest so many grades of a learner count."""


class Sheet(NamedTuple):
    """A learner's grades, oldest first: dense courses, (E,), and grades as fractions of their scales, (E,)."""

    courses: Integers
    grades: Floats


@dataclass(frozen=True, eq=False)
class GradesNet:
    """The arrays of a grades model: n courses, d dimensions, K decay rates; float32."""

    decays: Floats  # (K,)
    shrinkage: Floats  # (1,), grades that pull a learner's mean towards the average
    mean: Floats  # (n,), expected grade of a course
    history: Floats  # (n, d), what a course adds to a history
    gmf_tower: Floats  # (2K * d, d)
    gmf_empty: Floats  # (d,)
    mlp_tower: Floats  # (2K * d, d)
    mlp_empty: Floats  # (d,)
    gmf_course: Floats  # (n, d)
    mlp_course: Floats  # (n, d)
    bias: Floats  # (n,)
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
            raise BundleError("grades: `history` is not (courses, dimensions), or `decays` is no vector")
        (n, d), k, (one, two, three) = self.history.shape, len(self.decays), LAYERS
        pools = 2 * k * d
        wanted: dict[str, tuple[int, ...]] = {
            "shrinkage": (1,), "mean": (n,), "gmf_tower": (pools, d), "gmf_empty": (d,), "mlp_tower": (pools, d),
            "mlp_empty": (d,), "gmf_course": (n, d), "mlp_course": (n, d), "bias": (n,), "w1_learner": (d, one),
            "w1_course": (d, one), "b1": (one,), "w2": (one, two), "b2": (two,), "w3": (two, three), "b3": (three,),
            "mlp_out": (three,),
        }  # fmt: skip
        for name, shape in wanted.items():
            check_array("grades", name, getattr(self, name), shape)


GRADES_ARRAYS: Final = tuple(one.name for one in fields(GradesNet))
"""Names of the arrays in `grades.npz`."""


def entry_weights(decays: Floats, ages: NDArray[np.int64], shrinkage: float) -> Floats:
    """Return `w_kj` of one learner's grades, (E, K).

    >>> entry_weights(np.array([1, 0.5], np.float32), np.array([1, 0]), 0.5).astype(float).round(3).tolist()
    [[0.4, 0.25], [0.4, 0.5]]
    """
    fades = np.power(decays, ages[:, None].astype(np.float32))
    weights: Floats = fades / (fades.sum(axis=0) + np.float32(shrinkage))
    return weights


class Grader:
    """Predicts with one set of arrays."""

    def __init__(self, net: GradesNet) -> None:
        self._net = net
        self._course_half: Floats = net.mlp_course @ net.w1_course + net.b1  # (n, 128)

    def predict(self, sheet: Sheet, courses: NDArray[np.integer] | None = None) -> Floats:
        """Return the learner's predicted grade, 0..1, in each of P courses, (P,); in all of them by default."""
        net, chosen = self._net, slice(None) if courses is None else courses
        pooled = self._pooled(sheet)
        gmf = pooled @ net.gmf_tower + net.gmf_empty  # (d,)
        half = (pooled @ net.mlp_tower + net.mlp_empty) @ net.w1_learner  # (128,)
        hidden = np.maximum(self._course_half[chosen] + half, 0)  # (P, 128)
        hidden = np.maximum(hidden @ net.w2 + net.b2, 0)  # (P, 64)
        hidden = np.maximum(hidden @ net.w3 + net.b3, 0)  # (P, 32)
        predicted: Floats = net.bias[chosen] + net.gmf_course[chosen] @ gmf + hidden @ net.mlp_out
        return predicted.clip(0.0, 1.0)

    def _pooled(self, sheet: Sheet) -> Floats:
        """Return the pooled history, (2K * d,)."""
        courses, grades = sheet.courses[-MAX_GRADES:], sheet.grades[-MAX_GRADES:]
        ages = np.arange(len(courses) - 1, -1, -1)
        weights = entry_weights(self._net.decays, ages, float(self._net.shrinkage[0]))  # (E, K)
        better = grades - self._net.mean[courses]  # (E,)
        pooled: Floats = np.hstack([weights * better[:, None], weights]).T @ self._net.history[courses]  # (2K, d)
        return pooled.ravel()


def sheet_of(graded: Sequence[tuple[str, float]], index_of: Mapping[str, int]) -> Sheet:
    """Return the sheet of (course id, grade 0..1), oldest first; courses that the model does not know are left out.

    >>> sheet_of([("c9", 0.5), ("c1", 1.0)], {"c1": 7}).courses.tolist()
    [7]
    """
    known = [(index_of[course_id], grade) for course_id, grade in graded if course_id in index_of]
    courses = np.array([course for course, _ in known], dtype=np.int32)
    return Sheet(courses, np.array([grade for _, grade in known], dtype=np.float32))


class _Array(msgspec.Struct, frozen=True, array_like=True):
    shape: tuple[int, ...]
    values: bytes  # float32, little-endian, C order


class _Packed(msgspec.Struct, frozen=True):
    course_ids: tuple[str, ...]
    arrays: dict[str, _Array]


_decoder: Final = msgspec.msgpack.Decoder(_Packed)


def pack_grades(course_ids: tuple[str, ...], net: GradesNet) -> bytes:
    """Return a grades model as MessagePack: what a worker hands to the API."""
    arrays = {name: np.ascontiguousarray(getattr(net, name), dtype="<f4") for name in GRADES_ARRAYS}
    packed = {name: _Array(array.shape, array.tobytes()) for name, array in arrays.items()}
    return msgspec.msgpack.encode(_Packed(course_ids, packed))


def unpack_grades(raw: bytes) -> tuple[tuple[str, ...], GradesNet]:
    """Return the course ids and arrays that `pack_grades` wrote."""
    packed = _decoder.decode(raw)
    arrays = {name: np.frombuffer(one.values, dtype="<f4").reshape(one.shape) for name, one in packed.arrays.items()}
    return packed.course_ids, GradesNet(**arrays)
