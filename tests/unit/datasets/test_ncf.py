"""The layout of the NCF paper's splits."""

import gzip
from pathlib import Path

import pytest

from datasets.ncf import HeldOut, found, read
from schemas.errors import UnknownLayoutError
from tests.unit.split_folder import HEADER, write_split

TRAIN = HEADER + "0\t7\t1\n0\t5\t0\n1\t5\t0\n"
TESTS = "0\t9\t4\t100\n1\t7\t3\t200\n"
NEGATIVES = "(0,9)\t1\t9\t2\n(1,7)\t9\t1\n"


def _folder(path: Path, train: str = TRAIN, tests: str = TESTS, negatives: str = NEGATIVES) -> Path:
    path.mkdir()
    (path / "x.train.ordered.tsv.gz").write_bytes(gzip.compress(train.encode()))
    (path / "x.test.rating").write_text(tests)
    (path / "x.test.negative").write_text(negatives)
    return path


def test_histories_stand_in_order_and_tests_beside(tmp_path: Path) -> None:
    split = read(_folder(tmp_path / "split"))
    assert split.histories == {"0": ["5", "7"], "1": ["5"]}
    assert split.tests == [HeldOut("0", "9", ("1", "2")), HeldOut("1", "7", ("9", "1"))]
    assert [course.course_id for course in split.courses] == ["1", "2", "5", "7", "9"]


def test_a_movielens_folder_beside_tells_ties_and_titles(tmp_path: Path) -> None:
    folder, beside = _folder(tmp_path / "split"), tmp_path / "movies"
    (folder / "item_map.tsv").write_text("ncf_item\tmovieId\n5\t50\n7\t70\n")
    beside.mkdir()
    (beside / "movies.dat").write_text("50::Fifty (1995)::Drama\n")
    (beside / "ratings.dat").write_text("1::50::5::90\n1::70::5::100\n1::90::4::100\n2::50::5::1\n2::7::3::9\n")
    split = read(folder)
    assert [test.is_tied for test in split.tests] == [True, None]  # the other's seconds are not of this split
    assert {course.course_id: course.title for course in split.courses if course.title} == {"5": "Fifty (1995)"}


def test_other_learners_of_the_folder_beside_say_nothing(tmp_path: Path) -> None:
    folder, beside = _folder(tmp_path / "split"), tmp_path / "movies"
    beside.mkdir()
    (beside / "movies.dat").write_text("broken\n")
    (beside / "ratings.dat").write_text("broken\nx::1::1::1\n1::50::5::100\n")
    assert [test.is_tied for test in read(folder).tests] == [None, None]


@pytest.mark.parametrize(
    ("train", "tests", "negatives", "said"),
    [
        (TRAIN + "1\t6\n", TESTS, NEGATIVES, "x.train.ordered.tsv.gz, line 5: has 2 fields"),
        (TRAIN + "1\t6\tx\n", TESTS, NEGATIVES, "position 'x'"),
        (TRAIN + "1\t6\t0\n", TESTS, NEGATIVES, "learner 1 has it twice"),
        (TRAIN + "1\t6\t2\n", TESTS, NEGATIVES, "learner 1 lacks a position"),
        (TRAIN + "1\t5\t1\n", TESTS, NEGATIVES, "took an item twice"),
        (TRAIN, TESTS, "(0,9)\t1\n", "is not the test of line 2"),
        (TRAIN, TESTS, NEGATIVES + "(2,1)\t1\n", "x.test.negative, line 3: belongs to no test"),
        (TRAIN, TESTS, "(0,9)\t5\n(1,7)\t9\n", "has taken what he is tested with"),
        (TRAIN, "0\t9\t4\t100\n2\t7\t3\t200\n", "(0,9)\t1\n(2,7)\t1\n", "learner 2 has no history"),
    ],
)
def test_a_row_that_cannot_be_right_is_one_clear_line(
    tmp_path: Path, train: str, tests: str, negatives: str, said: str
) -> None:
    with pytest.raises(UnknownLayoutError) as error:
        read(_folder(tmp_path / "split", train, tests, negatives))
    assert said in str(error.value)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    assert not found(tmp_path / "nowhere")
    with pytest.raises(UnknownLayoutError, match=r"NAME\.test\.negative"):
        read(tmp_path)
    folder = write_split(tmp_path / "split")
    (folder / "other.test.rating").write_text("")
    with pytest.raises(UnknownLayoutError, match="keep one of them"):
        read(folder)


def test_the_released_split_is_read_whole(real_data: Path) -> None:
    split = read(real_data / "ncf_ml1m")
    assert (len(split.courses), len(split.histories), len(split.tests)) == (3_706, 6_040, 6_040)
    assert sum(map(len, split.histories.values())) == 994_169
    tied = [test.is_tied for test in split.tests]
    assert (tied.count(True), tied.count(False)) == (1_268, 1_731)
