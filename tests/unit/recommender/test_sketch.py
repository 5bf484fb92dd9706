"""Sketches tell the cosine of courses' texts."""

from itertools import combinations

import numpy as np
import pytest

from recommender.content import fit_text, matrix_of
from recommender.diversity import similarity
from recommender.recommend import Recommender
from recommender.sketch import sketch, sketches_of

WORDS = [f"word{i}" for i in range(300)]


def _texts(count: int) -> list[str]:
    """Return texts of a few words to many, of which each shares a part with its neighbour."""
    random = np.random.default_rng(3)
    texts = [" ".join(random.choice(WORDS, 4 + i % 60)) for i in range(count)]
    return [f"{text} {texts[i - 1]}" if i % 2 else text for i, text in enumerate(texts)]


def test_the_estimate_is_near_the_cosine() -> None:
    text = fit_text(_texts(80))
    rows = matrix_of(text.rows)
    found, cosines = sketch(rows, text.vocabulary), (rows @ rows.T).toarray()
    errors = [similarity(found[i], found[j]) - cosines[i, j] for i, j in combinations(range(80), 2)]
    assert np.sqrt(np.square(errors).mean()) < 0.11  # what 256 planes allow: about pi / 2 / sqrt(256)
    assert abs(np.mean(errors)) < 0.06
    assert max(map(abs, errors)) < 0.4


@pytest.mark.parametrize("shared", [1, 2])
def test_texts_of_a_few_words_are_told_apart_too(shared: int) -> None:
    words = ("alpha", "beta", "gamma")
    weights = np.zeros((2, 3), dtype=np.float32)
    weights[0, :2] = weights[1, 2 - shared : 4 - shared] = np.sqrt(0.5)
    rows = matrix_of(fit_text(["alpha beta gamma"]).rows)
    one, other = sketch(type(rows)(weights), words)
    assert similarity(one, other) == pytest.approx(shared / 2, abs=0.2)


def test_a_words_planes_are_the_same_in_every_vocabulary() -> None:
    rows = matrix_of(fit_text(["sql query"]).rows)
    one = sketch(type(rows)(np.array([[1.0, 2.0, 0.0]], dtype=np.float32)), ("sql", "query", "law"))
    other = sketch(type(rows)(np.array([[0.0, 2.0, 1.0]], dtype=np.float32)), ("zebra", "query", "sql"))
    assert one == other


def test_a_course_without_text_has_no_sketch() -> None:
    text = fit_text(["sql query", ""])
    filled, empty = sketch(matrix_of(text.rows), text.vocabulary)
    assert (len(filled), empty) == (32, b"")


def test_every_course_of_a_universe_has_one(recommender: Recommender) -> None:
    found = sketches_of(recommender.universe)
    assert set(found) == set(recommender.course_ids)
    assert similarity(found["a0"], found["a1"]) > 0.9 > 0.4 > similarity(found["a0"], found["b1"])
