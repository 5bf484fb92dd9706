"""The growth bench measures real parts; what it says is of the sizes asked for."""

from bench.growth import measure
from bench.search import measure as measure_search


def test_costs_of_a_small_system() -> None:
    found = measure(40, 60)
    assert (found.learners, found.courses) == (40, 60)
    assert 500 < found.redis_bytes_per_learner < 20_000, "a history of ten courses and a list"
    assert min(found.merge_us_per_event, found.refresh_us_per_learner, found.item_item_s) > 0
    assert [one.kind for one in found.search] == ["flat", "flat, batched", "hnsw", "ivf"]


def test_a_flat_index_finds_all_and_the_others_nearly() -> None:
    flat, batched, *others = measure_search(2_000)
    assert flat.recall == batched.recall == 1 and all(0.5 < one.recall <= 1 for one in others)
