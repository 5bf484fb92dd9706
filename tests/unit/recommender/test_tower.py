"""The history tower: a batch is what the formula says."""

from collections.abc import Callable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from recommender.history import Entry, Learner
from recommender.model import NeuMF
from recommender.tower import NEWEST, deepened, encode, learner_vectors, shares

Doubles = NDArray[np.float64]

entries = st.lists(
    st.tuples(st.integers(0, 75), st.sampled_from([1.0, 1.5, 0.1, -0.5, 0.0])), max_size=70, unique_by=lambda e: e[0]
)


def _learner(pairs: list[tuple[int, float]]) -> Learner:
    return Learner(tuple(Entry(f"c{course}", weight, at, bytes(16)) for at, (course, weight) in enumerate(pairs)))


def _vectors(neumf: NeuMF, pairs: list[tuple[int, float]]) -> tuple[Doubles, Doubles]:
    """Return the learner's vectors, GMF and MLP, entry by entry as the formula says."""
    known = [(course, weight) for course, weight in pairs if course < len(neumf.history) and weight][-NEWEST:]
    flat, mlp = neumf.gmf_empty.astype(np.float64), neumf.mlp_empty.astype(np.float64)
    for k, decay in enumerate(neumf.decays.astype(np.float64)):
        parts = [weight * decay**age for age, (_, weight) in enumerate(reversed(known))][::-1]
        for (course, _), part in zip(known, parts, strict=True):
            share = part / (sum(map(abs, parts)) or 1.0)
            flat = flat + share * (neumf.history[course] @ neumf.gmf_tower[k])
            mlp = mlp + share * (neumf.history[course] @ neumf.mlp_tower[k])
    normal = (flat - flat.mean()) / np.sqrt(flat.var() + 1e-5)
    gmf: Doubles = flat + np.maximum(normal @ neumf.gmf_in + neumf.gmf_in_bias, 0) @ neumf.gmf_back
    return gmf, mlp


@given(st.lists(entries, min_size=1, max_size=5))
def test_a_batch_is_what_the_formula_says_of_each_and_unknown_courses_are_skipped(
    neumf_of: Callable[..., NeuMF], histories: list[list[tuple[int, float]]]
) -> None:
    neumf = neumf_of(n=70)
    index_of = {f"c{index}": index for index in range(70)}
    batch = learner_vectors(neumf, encode([_learner(pairs) for pairs in histories], index_of))
    for row, pairs in enumerate(histories):
        gmf, mlp = _vectors(neumf, pairs)
        np.testing.assert_allclose(batch.gmf[row], gmf, atol=1e-4)
        np.testing.assert_allclose(batch.mlp[row], mlp, atol=1e-4)


def test_an_empty_history_is_the_learned_empty_learner(neumf_of: Callable[..., NeuMF]) -> None:
    neumf = neumf_of()
    vectors = learner_vectors(neumf, encode([Learner()], {}))
    np.testing.assert_array_equal(vectors.flat[0], neumf.gmf_empty)
    np.testing.assert_allclose(vectors.gmf[0], deepened(neumf, neumf.gmf_empty), rtol=1e-6)


def test_a_decay_of_zero_is_the_last_course_alone(neumf_of: Callable[..., NeuMF]) -> None:
    index_of = {f"c{index}": index for index in range(12)}
    histories = encode([_learner([(1, 1.0), (2, 1.0), (3, 1.0)])], index_of)
    parts = shares(neumf_of(decays=(0.0, 0.5, 1.0)).decays, histories)
    np.testing.assert_allclose(parts[:, 0], [0, 0, 1])
    np.testing.assert_allclose(parts[:, 1], np.array([1, 2, 4]) / 7, rtol=1e-6)
    np.testing.assert_allclose(parts[:, 2], [1 / 3] * 3, rtol=1e-6)


def test_long_histories_stay_finite(neumf_of: Callable[..., NeuMF]) -> None:
    neumf = neumf_of(n=5_000)
    learner = _learner([(course, 1.0) for course in range(5_000)])
    vectors = learner_vectors(neumf, encode([learner], {f"c{index}": index for index in range(5_000)}))
    assert np.isfinite(vectors.gmf).all()
