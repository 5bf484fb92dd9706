"""Words in five scripts, TF-IDF, nearest courses."""

import numpy as np
import pytest

from recommender import content
from recommender.content import Vectoriser, fit_text, matrix_of, nearest, stack, tokens


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The SQL-Basics, 2nd", ["the", "sql", "basics", "2nd"]),
        ("C# or C++?", ["c#", "or", "c++"]),
        ("Основы Python", ["основы", "python"]),
        ("مقدمة في البرمجة", ["مقدمة", "في", "البرمجة"]),
        ("हिन्दी सीखें", ["हिन्दी", "सीखें"]),
        ("Python入門講座", ["python", "入門", "門講", "講座"]),
        ("法", ["法"]),
        ("ＳＱＬ", ["sql"]),
        ("Straße", ["strasse"]),
        ("", []),
        ("!?", []),
    ],
)
def test_tokens(text: str, words: list[str]) -> None:
    assert tokens(text) == words


def test_rows_have_length_one_or_zero() -> None:
    text = fit_text(["sql query sql", "python code", "", "sql python"])
    lengths = np.sqrt(matrix_of(text.rows).power(2).sum(axis=1))
    np.testing.assert_allclose(lengths, [1, 1, 0, 1], rtol=1e-6)


def test_a_fitted_text_is_vectorised_as_it_was_fitted() -> None:
    texts = ["sql query sql", "python code", "sql python"]
    text = fit_text(texts)
    again = Vectoriser(text.vocabulary, text.idf).rows(texts)
    np.testing.assert_array_equal(again.indices, text.rows.indices)
    np.testing.assert_array_equal(again.data, text.rows.data)


def test_rarer_words_weigh_more_but_a_word_of_one_course_least() -> None:
    text = fit_text(["all some one", "all some", "all", "all"])
    idf = dict(zip(text.vocabulary, text.idf.tolist(), strict=True))
    assert idf["some"] > idf["all"] > 0
    assert 0 < idf["one"] < idf["some"]


def test_the_most_shared_words_are_kept() -> None:
    assert fit_text(["a b c", "a b", "a"], max_words=2).vocabulary == ("a", "b")


def test_nearest_is_the_cosine_without_the_course_itself() -> None:
    text = fit_text(["sql query", "sql query", "law", "sql law"])
    near = nearest(text.rows)
    cosines = (matrix_of(text.rows) @ matrix_of(text.rows).T).toarray()
    np.fill_diagonal(cosines, 0)
    for row in range(4):
        found = np.zeros(4)
        found[near.indices[row]] = near.weights[row]
        np.testing.assert_allclose(found, cosines[row], atol=1e-6)
    assert near.indices[0, 0] == 1


def test_new_courses_join_the_neighbours_as_if_they_had_been_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "NUM_NEIGHBOURS", 3)
    monkeypatch.setattr(content, "_CHUNK", 2)
    random = np.random.default_rng(5)
    texts = [" ".join(random.choice(list("abcdefgh"), 4)) for _ in range(12)]
    text = fit_text(texts[:7])
    rows = stack(text.rows, Vectoriser(text.vocabulary, text.idf).rows(texts[7:]))
    grown, whole = nearest(rows, nearest(text.rows)), nearest(rows)
    np.testing.assert_allclose(grown.weights, whole.weights, atol=1e-6)
    np.testing.assert_array_equal(grown.indices, whole.indices)


def test_no_courses_at_all() -> None:
    text = fit_text([])
    assert len(nearest(text.rows)) == 0
    assert nearest(stack(text.rows, Vectoriser((), text.idf).rows(["new"]))).indices.shape == (1, 1)


def test_nearest_are_those_of_a_sort_ties_by_course() -> None:
    random, words = np.random.default_rng(8), [f"w{i}" for i in range(12)]
    text = fit_text([" ".join(random.choice(words, 3)) for _ in range(700)])
    near, matrix = nearest(text.rows, count=9), matrix_of(text.rows)
    cosines = (matrix @ matrix.T).toarray()
    np.fill_diagonal(cosines, 0)
    wanted = np.lexsort((np.broadcast_to(np.arange(700), cosines.shape), -cosines))[:, :9]
    weights = np.take_along_axis(cosines, wanted, axis=1)
    np.testing.assert_array_equal(near.weights, weights)
    np.testing.assert_array_equal(near.indices, np.where(weights > 0, wanted, np.arange(700)[:, None]))
