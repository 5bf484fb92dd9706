import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array

from trainer.sampling import Taken, draw_negatives, draw_rivals


def _taken(table: NDArray[np.bool_]) -> Taken:
    return Taken.of(csr_array(table), np.arange(len(table)))


def _table(taken: Taken) -> list[list[int]]:
    cells = np.zeros(taken.rows * taken.num_courses, dtype=np.int64)
    cells[taken.cells] = 1
    return cells.reshape(taken.rows, -1).tolist()


def test_negatives_are_never_a_course_of_the_learner() -> None:
    rng = np.random.default_rng(1)
    taken = rng.random((200, 30)) < 0.8
    taken[:, 7] = False
    drawn = draw_negatives(_taken(taken), 6, rng)
    assert drawn.shape == (200, 6)
    assert not np.take_along_axis(taken, drawn, axis=1).any()


def test_the_one_course_left_is_found() -> None:
    taken = np.ones((3, 500), dtype=bool)
    taken[:, 123] = False
    assert (draw_negatives(_taken(taken), 2, np.random.default_rng(1)) == 123).all()


def test_negatives_are_uniform_over_what_is_left() -> None:
    taken = np.zeros((4_000, 4), dtype=bool)
    taken[:, 0] = True
    counts = np.bincount(draw_negatives(_taken(taken), 3, np.random.default_rng(1)).ravel(), minlength=4)
    assert counts[0] == 0
    assert np.abs(counts[1:] - 4_000).max() < 250


def test_a_learner_who_has_taken_everything_is_an_error() -> None:
    with pytest.raises(ValueError, match="every course"):
        draw_negatives(_taken(np.ones((1, 3), dtype=bool)), 1, np.random.default_rng(1))


def test_rivals_are_different_courses_and_all_of_them_if_they_are_few() -> None:
    rng = np.random.default_rng(1)
    assert draw_rivals(5, 9, rng).tolist() == [0, 1, 2, 3, 4]
    assert len(set(draw_rivals(50, 20, rng).tolist())) == 20


def test_what_is_taken_is_that_of_the_learners_asked_for() -> None:
    taken = csr_array(np.array([[True, False], [False, True], [True, True]]))
    assert _table(Taken.of(taken, np.array([2, 1, 1]))) == [[1, 1], [0, 1], [0, 1]]


def test_what_is_taken_can_be_asked_for_cut_and_seen_among_other_columns() -> None:
    table = np.random.default_rng(1).random((6, 9)) < 0.4
    table[0], table[5] = False, True
    taken, courses = _taken(table), np.array([4, 0, 8, 2])
    wanted = np.tile(courses, (6, 1))
    assert (taken.holds(wanted) == table[:, courses]).all()
    assert _table(taken.among(courses)) == table[:, courses].astype(int).tolist()
    cut = np.array([4, 0, 8, 2, 1, 7])
    table[np.arange(6), cut] = False
    assert _table(taken.but(cut)) == table.astype(int).tolist()
    assert not _taken(np.zeros((2, 3), dtype=bool)).holds(np.array([[0], [2]])).any()
