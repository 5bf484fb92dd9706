import numpy as np
from scipy.sparse import csr_array

from recommender.model import Rows
from trainer.ease import ease_weights, largest


def _taken(seed: int = 1) -> csr_array:
    return csr_array(np.random.default_rng(seed).random((50, 12)) < 0.3)


def test_weights_solve_the_ridge_regression_of_each_course_on_the_others() -> None:
    taken, ridge = _taken().toarray().astype(float), 3.0
    weights = ease_weights(csr_array(taken), ridge)
    assert (np.diag(weights) == 0).all()
    for course in range(12):
        others = np.delete(np.arange(12), course)
        gram = taken[:, others].T @ taken[:, others] + ridge * np.eye(11)
        expected = np.linalg.solve(gram, taken[:, others].T @ taken[:, course])
        np.testing.assert_allclose(weights[others, course], expected, atol=1e-9)


def test_kept_are_the_largest_weights_of_a_row() -> None:
    full = ease_weights(_taken().astype(np.float64), 3.0)
    rows = largest([full[:5], full[5:]], 12, neighbours=4)
    for course in range(12):
        part = slice(rows.indptr[course], rows.indptr[course + 1])
        assert set(rows.indices[part].tolist()) == set(np.argsort(-np.abs(full[course]))[:4].tolist())
        np.testing.assert_allclose(rows.data[part], full[course, rows.indices[part]], rtol=1e-6)


def test_of_equal_weights_the_first_are_kept_and_nothing_is_no_weight() -> None:
    rows: Rows = largest([np.array([[0.0, 2.0, -2.0, 2.0], [0.0, 0.0, 1.0, 0.0]])], 4, neighbours=2)
    assert rows.indptr.tolist() == [0, 2, 3]
    assert rows.indices.tolist() == [1, 2, 2]
    assert rows.data.tolist() == [2.0, -2.0, 1.0]


def test_among_many_columns_the_largest_are_found_too() -> None:
    weights = np.round(np.random.default_rng(1).normal(size=(20, 1_000)), 2)  # with ties
    rows = largest([np.vstack([weights, np.zeros((980, 1_000))])], 1_000, neighbours=7)
    for row in range(20):
        expected = np.sort(np.argsort(-np.abs(weights[row]), kind="stable")[:7])
        assert rows.indices[rows.indptr[row] : rows.indptr[row + 1]].tolist() == expected.tolist()
