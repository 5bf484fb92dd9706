"""What a scoreboard makes of lists: by hand, on four tests over five courses."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from recommender.history import Learner
from trainer.cases import Case
from trainer.metrics import self_information
from trainer.scoreboard import Scoreboard, buckets
from trainer.shown import Shown

VECTORS = csr_array(np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0, 0]], np.float32))
BITS = self_information(np.array([3, 1, 1, 0, 0]), 3)


def _case(user_id: str, length: int, is_new: bool = False) -> Case:
    return Case(Learner(taken=frozenset(map(str, range(length)))), "c", 0, user_id, is_new)


def _board() -> Scoreboard:
    board = Scoreboard()
    cases = [_case("a", 0), _case("a", 1), _case("b", 5), _case("c", 6, is_new=True)]
    board.take(cases, [1, 3, 0, 7], [[0, 1], [0, 2], [0, 1], [4]], BITS, VECTORS)
    return board


def test_what_is_shown_is_covered_novel_and_alike() -> None:
    shown = Shown(5)
    shown.take([[0, 1], [0, 2]], BITS, VECTORS)
    shown.take([[0, 1], [4]], BITS, VECTORS)
    found = shown.metrics(5)
    assert found["coverage@5"] == 4 / 5
    assert found["novelty@5"] == pytest.approx((3 * 0 + 3 * 1 + 2) / 7, abs=1e-6)
    assert found["similarity@5"] == pytest.approx((1 + 0 + 1) / 3, abs=1e-6)  # the last list has no pair
    assert set(Shown(5).metrics(0).values()) == {0.0}


def test_only_the_first_places_count() -> None:
    shown = Shown(1)
    shown.take([[0, 1], [2, 3]], BITS, VECTORS)
    assert shown.metrics(5) == {"coverage@1": 0.4, "novelty@1": 0.5, "similarity@1": 0.0}


def test_metrics_over_all_and_apart() -> None:
    found = _board().metrics(5)
    assert (found["tests"], found["tests_empty"], found["hr@10"], found["hr@5"]) == (4.0, 1.0, 0.75, 0.5)
    assert found["recall@10_empty"] == 1.0
    assert found["recall@10_known"] == pytest.approx(2 / 3, abs=1e-6)
    for name in ("recall@10", "hr@10", "ndcg@10", "mrr@10"):
        assert found[f"{name}_low"] <= found[name] <= found[f"{name}_high"]


def test_buckets_hold_each_test_once_and_new_courses_again() -> None:
    popular = Scoreboard()
    popular.take([_case("a", 0), _case("a", 1), _case("b", 5), _case("c", 6, True)], [0] * 4, [[0]] * 4, BITS, VECTORS)
    found = buckets({"popular": popular, "hybrid": _board()})
    assert list(found) == ["0", "1", "3-5", "6+", "new"]
    assert {bucket: by_model["hybrid"]["hr@10"] for bucket, by_model in found.items()} == {
        "0": 1.0, "1": 1.0, "3-5": 0.0, "6+": 1.0, "new": 1.0
    }  # fmt: skip
    assert all(by_model["popular"]["hr@10"] == 0.0 and by_model["popular"]["tests"] == 1 for by_model in found.values())
