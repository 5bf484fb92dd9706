"""Predicted grades: by hand, and what goes in and out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recommender.bundle import load_model, save_model
from recommender.grades import MAX_GRADES, Grader, GradesNet, Sheet, pack_grades, sheet_of, unpack_grades
from recommender.model import LAYERS
from schemas.errors import BundleError
from tests.models import COURSES, grades_net, small_model, write_bundle

INDEX = {f"c{i}": i for i in range(6)}


def floats(*values: float, shape: tuple[int, ...] = (-1,)) -> np.ndarray:
    return np.array(values, dtype=np.float32).reshape(shape)


def by_hand() -> GradesNet:
    """Return a model of two courses, one dimension and a decay of 0.5 whose MLP says nothing."""
    one, two, three = LAYERS
    zeros = {
        name: np.zeros(shape, np.float32)
        for name, shape in {
            "gmf_empty": (1,), "mlp_tower": (2, 1), "mlp_empty": (1,), "mlp_course": (2, 1), "w1_learner": (1, one),
            "w1_course": (1, one), "b1": (one,), "w2": (one, two), "b2": (two,), "w3": (two, three), "b3": (three,),
            "mlp_out": (three,),
        }.items()
    }  # fmt: skip
    return GradesNet(
        decays=floats(0.5),
        shrinkage=floats(1.0),
        mean=floats(0.5, 0.6),
        history=floats(1, 1, shape=(2, 1)),
        gmf_tower=floats(1, 0, shape=(2, 1)),
        gmf_course=floats(1, 2, shape=(2, 1)),
        bias=floats(0.5, 0.6),
        **zeros,
    )


def test_a_grade_worked_by_hand() -> None:
    """0.9 where 0.5 was expected, then 0.6 as expected: weights 0.5 and 1, over 1.5 + 1: m = 0.5 * 0.4 / 2.5 = 0.08."""
    sheet = sheet_of([("c0", 0.9), ("c1", 0.6)], INDEX)
    assert Grader(by_hand()).predict(sheet).tolist() == pytest.approx([0.5 + 0.08, 0.6 + 2 * 0.08])


def test_without_grades_a_course_is_as_good_as_it_is_for_all() -> None:
    assert Grader(by_hand()).predict(sheet_of([], INDEX)).tolist() == pytest.approx([0.5, 0.6])


def test_a_grade_lies_on_its_scale() -> None:
    net = replace(by_hand(), bias=floats(-3, 3))
    assert Grader(net).predict(sheet_of([("c0", 1.0)], INDEX)).tolist() == [0.0, 1.0]


def test_courses_one_by_one_equal_all_at_once() -> None:
    grader, sheet = Grader(grades_net(6)), sheet_of([("c3", 0.9), ("c1", 0.2), ("c5", 0.4)], INDEX)
    alone = [grader.predict(sheet, np.array([course]))[0] for course in range(6)]
    assert alone == pytest.approx(grader.predict(sheet).tolist(), abs=1e-6)


def test_the_order_of_grades_and_their_height_matter() -> None:
    grader = Grader(grades_net(6))
    first, other = [("c3", 0.9), ("c1", 0.2)], [("c1", 0.2), ("c3", 0.9)]
    lower = [("c3", 0.5), ("c1", 0.2)]
    predicted = [grader.predict(sheet_of(one, INDEX)).tolist() for one in (first, other, lower)]
    assert len({tuple(one) for one in predicted}) == 3


def test_only_the_newest_grades_count() -> None:
    grader, many = Grader(grades_net(6)), np.arange(MAX_GRADES + 7) % 6
    values = np.linspace(0, 1, len(many), dtype=np.float32)
    whole, newest = Sheet(many.astype(np.int32), values), Sheet(many[7:].astype(np.int32), values[7:])
    assert grader.predict(whole).tolist() == grader.predict(newest).tolist()


def test_packed_equals_unpacked() -> None:
    course_ids, net = tuple(INDEX), grades_net(6)
    found_ids, found = unpack_grades(pack_grades(course_ids, net))
    assert found_ids == course_ids
    sheet = sheet_of([("c2", 0.7)], INDEX)
    assert Grader(found).predict(sheet).tolist() == Grader(net).predict(sheet).tolist()


def test_a_bundle_holds_the_grades_model(tmp_path: Path) -> None:
    folder, _ = write_bundle(tmp_path)
    assert load_model(folder).grades is None
    net = grades_net(len(COURSES))
    save_model(tmp_path, replace(small_model(), grades=net))
    with np.load(tmp_path / "grades.npz", allow_pickle=False) as arrays:
        assert arrays["history"].tolist() == net.history.tolist()


def test_a_model_of_another_shape_is_refused() -> None:
    with pytest.raises(BundleError, match=r"grades: `bias` is float32\(3,\), expected float32\(6,\)"):
        replace(grades_net(6), bias=floats(1, 2, 3))
    with pytest.raises(BundleError, match=r"grades has 6 courses, courses\.json 12"):
        replace(small_model(), grades=grades_net(6))
