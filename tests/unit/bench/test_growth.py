"""The growth bench measures real parts; what it says is of the sizes asked for."""

from bench.growth import measure
from bench.search import measure as measure_search


def test_costs_of_a_small_system() -> None:
    found = measure(40, 60)
    assert (found.learners, found.courses) == (40, 60)
    assert 500 < found.redis_bytes < 20_000, "a history of ten courses and a list"
    assert 500 < found.redis_bytes_30 < found.redis_bytes_30_progress_rating
    assert min(found.merge_us_per_event, found.refresh_us_per_learner, found.item_item_s) > 0
    assert found.swept >= 40 and found.fresh_rounds == 1, "whoever enrols meanwhile is listed in the next round"
    assert 0 < found.bundle_mb < 10 and 20 < found.api_mb <= found.api_titles_mb + 5
    assert [one.kind for one in found.search] == ["flat", "flat, batched", "hnsw", "ivf", "served"]


def test_weights_may_be_drawn() -> None:
    found = measure(30, 40, fit=False)
    assert found.item_item_s == 0 and found.refresh_us_per_learner > 0


def test_a_flat_index_finds_all_and_the_others_nearly() -> None:
    flat, batched, *others, served = measure_search(2_000)
    assert flat.recall == batched.recall == served.recall == 1 and all(0.5 < one.recall <= 1 for one in others)
