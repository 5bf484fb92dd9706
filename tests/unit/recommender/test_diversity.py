"""Maximal marginal relevance: the laws of its order, and that it spreads a list over subjects."""

import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from recommender.diversity import diversify, similarity
from schemas.candidates import Candidate, Source

SKETCHES = [random.Random(subject).randbytes(32) for subject in range(5)]


def _listed(scores: Sequence[float]) -> list[Candidate]:
    ordered = sorted(scores, reverse=True)
    return [Candidate(f"c{i}", score, (0.0,) * 5, Source.CONTENT, None) for i, score in enumerate(ordered)]


def _near(sketch: bytes, noise: int) -> bytes:
    """Return a sketch that differs in a few of its bits."""
    flipped = int.from_bytes(sketch, "big") ^ 1 << noise ^ 1 << (noise + 7)
    return flipped.to_bytes(32, "big")


scores = st.lists(st.floats(-20, 20, width=16), min_size=1, max_size=40)
subjects = st.lists(st.integers(0, len(SKETCHES)), min_size=40, max_size=40)
"""One more than there are sketches: a course without one."""
places = st.integers(0, 45)


def _sketches(subjects: Sequence[int], size: int) -> list[bytes]:
    return [_near(SKETCHES[one], i) if one < len(SKETCHES) else b"" for i, one in enumerate(subjects[:size])]


@given(scores, subjects, places, st.floats(0, 1))
def test_the_same_candidates_come_back(scores: list[float], subjects: list[int], places: int, diversity: float) -> None:
    listed = _listed(scores)
    found = diversify(listed, _sketches(subjects, len(listed)), places, diversity)
    assert sorted(found) == sorted(listed)
    assert found[0] == listed[0]  # the first place is the best one's


@given(scores, subjects, places)
def test_without_diversity_the_order_stays(scores: list[float], subjects: list[int], places: int) -> None:
    listed = _listed(scores)
    assert diversify(listed, _sketches(subjects, len(listed)), places, 0.0) == listed


@given(scores, subjects, places)
def test_full_diversity_takes_no_near_duplicate_while_another_subject_is_left(
    scores: list[float], subjects: list[int], places: int
) -> None:
    listed = _listed(scores)
    subject_of = {one.course_id: subject for one, subject in zip(listed, subjects, strict=False)}
    found = [subject_of[one.course_id] for one in diversify(listed, _sketches(subjects, len(listed)), places, 1.0)]
    known = range(len(SKETCHES))
    for place in range(min(places, len(found))):
        if found[place] in known and found[place] in found[:place]:
            assert not set(found[place:]) - set(found[:place]), "another subject was left"


def test_what_is_beyond_the_places_keeps_its_order() -> None:
    listed = _listed([5, 4, 3, 2, 1])
    found = diversify(listed, [SKETCHES[subject] for subject in (0, 0, 0, 1, 1)], 2, 1.0)
    assert [one.course_id for one in found] == ["c0", "c3", "c1", "c2", "c4"]


def test_relevance_and_likeness_are_weighed() -> None:
    listed = _listed([1.0, 0.9, 0.0])
    sketches = _sketches([0, 0, 1], 3)
    assert [one.course_id for one in diversify(listed, sketches, 3, 0.2)] == ["c0", "c1", "c2"]
    assert [one.course_id for one in diversify(listed, sketches, 3, 0.8)] == ["c0", "c2", "c1"]


def test_what_a_strategy_puts_last_stays_last_whatever_its_score() -> None:
    listed = [*_listed([1.0, 0.5]), Candidate("unheard", 0.9, (0.0,) * 5, Source.NEW, None)]
    assert diversify(listed, [b""] * 3, 3, 0.0) == listed


def test_an_empty_list_is_fine() -> None:
    assert diversify([], [], 10, 0.5) == []


def test_similarity_falls_with_the_bits_apart() -> None:
    one = SKETCHES[0]
    complement = bytes(255 - byte for byte in one)
    assert similarity(one, one) == 1.0
    assert 0.99 < similarity(one, _near(one, 3)) < 1.0
    assert similarity(one, SKETCHES[1]) < 0.35
    assert similarity(one, complement) == 0.0
