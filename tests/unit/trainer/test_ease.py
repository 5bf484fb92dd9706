import numpy as np
from scipy.sparse import csr_array

from trainer.ease import ease_weights, fit_ease


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
    full, rows = ease_weights(_taken().astype(np.float64), 3.0), fit_ease(_taken(), 3.0, 12, neighbours=4).rows
    for course in range(12):
        part = slice(rows.indptr[course], rows.indptr[course + 1])
        assert set(rows.indices[part].tolist()) == set(np.argsort(-np.abs(full[course]))[:4].tolist())
        np.testing.assert_allclose(rows.data[part], full[course, rows.indices[part]], rtol=1e-6)


def test_beyond_the_most_popular_courses_rows_are_empty() -> None:
    taken = _taken()
    counts = np.asarray(taken.sum(axis=0)).ravel()
    popular = set(np.argsort(-counts, kind="stable")[:5].tolist())
    rows = fit_ease(taken, 3.0, 5).rows
    assert len(rows) == 12
    assert {course for course in range(12) if rows.indptr[course + 1] > rows.indptr[course]} == popular
    assert set(rows.indices.tolist()) <= popular


def test_a_course_nobody_took_says_nothing() -> None:
    taken = np.zeros((4, 3), dtype=bool)
    taken[:2, 0] = taken[1:3, 1] = True
    rows = fit_ease(csr_array(taken), 1.0, 3).rows
    assert rows.indptr[2] == rows.indptr[3]
    assert 2 not in rows.indices
