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
    rows = largest(full, np.arange(12), 12, neighbours=4)
    for course in range(12):
        part = slice(rows.indptr[course], rows.indptr[course + 1])
        assert set(rows.indices[part].tolist()) == set(np.argsort(-np.abs(full[course]))[:4].tolist())
        np.testing.assert_allclose(rows.data[part], full[course, rows.indices[part]], rtol=1e-6)


def test_rows_of_courses_that_take_no_part_are_empty() -> None:
    rows: Rows = largest(np.array([[0.0, 2.0], [1.0, 0.0]]), np.array([1, 3]), 5, neighbours=2)
    assert rows.indptr.tolist() == [0, 0, 1, 1, 2, 2]
    assert rows.indices.tolist() == [3, 1]
    assert rows.data.tolist() == [2.0, 1.0]
