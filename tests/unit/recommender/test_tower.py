"""The history tower: incremental = batch = the formula."""

from collections.abc import Callable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recommender.history import Entry, Learner
from recommender.model import NeuMF
from recommender.tower import TowerState, encode, learner_vectors, shares

entries = st.lists(
    st.tuples(st.integers(0, 14), st.sampled_from([1.0, 1.5, 0.1, -0.5, 0.0])), max_size=40, unique_by=lambda e: e[0]
)


def _learner(pairs: list[tuple[int, float]]) -> Learner:
    return Learner(tuple(Entry(f"c{course}", weight, at, bytes(16)) for at, (course, weight) in enumerate(pairs)))


@given(st.lists(entries, min_size=1, max_size=5))
def test_incremental_equals_batch_and_unknown_courses_are_skipped(
    neumf_of: Callable[..., NeuMF], histories: list[list[tuple[int, float]]]
) -> None:
    neumf = neumf_of(n=12)
    index_of = {f"c{index}": index for index in range(12)}
    batch = learner_vectors(neumf, encode([_learner(pairs) for pairs in histories], index_of))
    for row, pairs in enumerate(histories):
        state = TowerState(neumf)
        for course, weight in pairs:
            if course < 12 and weight:
                state.push(course, weight)
        one = state.vectors()
        np.testing.assert_allclose(batch.gmf[row], one.gmf, atol=1e-4)
        np.testing.assert_allclose(batch.mlp[row], one.mlp, atol=1e-4)


def test_an_empty_history_is_the_learned_empty_learner(neumf_of: Callable[..., NeuMF]) -> None:
    neumf = neumf_of()
    np.testing.assert_array_equal(learner_vectors(neumf, encode([Learner()], {})).gmf[0], neumf.gmf_empty)


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
