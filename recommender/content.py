"""Content: TF-IDF of courses' and learners' texts, and each course's nearest courses by cosine.

The trainer fits the vocabulary with the very tokeniser that vectorises new courses and searches here.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from recommender.model import Floats, Rows, Text
from recommender.neighbours import Neighbours
from schemas.courses import Course

MAX_WORDS: Final = 20_000
WORDS_PER_TEXT: Final = 256
"""Only the most telling words of a text are kept: about the same cosines, and a bound on what a course costs."""

UNIQUE_WORD: Final = 0.1
"""What is left of the idf of a word in one course alone: it makes no two courses alike, but a search may name it."""

NUM_NEIGHBOURS: Final = 100
_CHUNK: Final = 512
_TIE: Final = 1e-14
"""What a column weighs in a tie of cosines: below their precision for any catalogue."""

Matrix = sparse.csr_array[np.float32, tuple[int, int]]


def _ranges(codes: Iterable[int]) -> str:
    """Return a regular expression's character ranges of ascending code points."""
    spans: list[list[int]] = []
    for code in codes:
        if spans and code == spans[-1][1] + 1:
            spans[-1][1] = code
        else:
            spans.append([code, code])
    return "".join(f"\\u{low:04x}-\\u{high:04x}" for low, high in spans)


_MARKS: Final = _ranges(code for code in range(0x300, 0x10000) if unicodedata.category(chr(code)) in ("Mn", "Mc"))
_WORD: Final = re.compile(rf"(?:[^\W_]|[{_MARKS}])+(?:\+\+|#)?")
_UNSPACED: Final = re.compile(r"[\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")
"""Scripts written without spaces: Thai, Lao, kana, Han."""


def _pieces(word: str) -> Iterator[str]:
    """Yield a word, or the character pairs of its parts in a script without spaces."""
    at = 0
    for run in _UNSPACED.finditer(word):
        if run.start() > at:
            yield word[at : run.start()]
        characters = run[0]
        yield from (characters[i : i + 2] for i in range(max(len(characters) - 1, 1)))
        at = run.end()
    if at < len(word):
        yield word[at:]


def tokens(text: str) -> list[str]:
    """Return the words of a text in any script, folded to lower case.

    >>> tokens("Learn C++ & Café_Latte! हिन्दी 机器学习")
    ['learn', 'c++', 'café', 'latte', 'हिन्दी', '机器', '器学', '学习']
    """
    words = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    if text.isascii():
        return words
    return [piece for word in words for piece in _pieces(word)]


def text_of(course: Course) -> str:
    """Return the text that describes a course; its title counts twice."""
    labels = (course.category, course.level, course.instructor, *course.tags, *course.skills)
    return "\n".join((course.title, course.title, *labels, course.description))


class Vectoriser:
    """Turns texts into TF-IDF rows of length 1: `(1 + log tf) * idf`, the `WORDS_PER_TEXT` largest."""

    def __init__(self, vocabulary: Sequence[str], idf: Floats) -> None:
        self._column = {word: column for column, word in enumerate(vocabulary)}
        self._idf = idf

    def rows(self, texts: Iterable[str]) -> Rows:
        """Return one row a text; a text without known words has an empty row."""
        return self.rows_of_counts(Counter(tokens(text)) for text in texts)

    def rows_of_counts(self, counted: Iterable[Counter[str]]) -> Rows:
        """Return one row a text of which the words were counted."""
        indptr, indices, data = [0], [], []
        for counts in counted:
            columns, values = self._row(counts)
            indices.append(columns)
            data.append(values)
            indptr.append(indptr[-1] + len(columns))
        return Rows(
            np.array(indptr, dtype=np.int64),
            np.concatenate([*indices, np.empty(0, np.int32)]).astype(np.int32),
            np.concatenate([*data, np.empty(0, np.float32)]).astype(np.float32),
            len(self._column),
        )

    def _row(self, counts: Counter[str]) -> tuple[NDArray[np.int32], Floats]:
        known = sorted((self._column[word], count) for word, count in counts.items() if word in self._column)
        columns = np.array([column for column, _ in known], dtype=np.int32)
        frequencies = np.array([count for _, count in known], dtype=np.float64)
        values = (1.0 + np.log(frequencies)) * self._idf[columns]
        kept = np.sort(np.argsort(-values, kind="stable")[:WORDS_PER_TEXT])
        columns, values = columns[kept], values[kept]
        length = np.sqrt(np.square(values).sum())
        return columns, (values / length if length > 0 else values).astype(np.float32)


def fit_text(texts: Sequence[str], max_words: int = MAX_WORDS) -> Text:
    """Return vocabulary, idf and rows of the courses' texts; the `max_words` words that most courses share."""
    counted = [Counter(tokens(text)) for text in texts]
    courses_with = Counter(word for counts in counted for word in counts)
    frequent = sorted(courses_with, key=lambda word: (-courses_with[word], word))[:max_words]
    vocabulary = tuple(sorted(frequent))
    shared = np.array([courses_with[word] for word in vocabulary], dtype=np.float64)
    idf = np.log1p((len(texts) - shared + 0.5) / (shared + 0.5))
    idf = np.where((shared == 1) & (len(texts) > 1), UNIQUE_WORD * idf, idf).astype(np.float32)
    return Text(vocabulary, idf, Vectoriser(vocabulary, idf).rows_of_counts(counted))


def matrix_of(rows: Rows) -> Matrix:
    """Return sparse rows as a SciPy matrix."""
    return sparse.csr_array((rows.data, rows.indices, rows.indptr), shape=(len(rows), rows.width))


def stack(first: Rows, second: Rows) -> Rows:
    """Return the rows of both, one after the other."""
    return Rows(
        np.concatenate([first.indptr, first.indptr[-1] + second.indptr[1:]]),
        np.concatenate([first.indices, second.indices]),
        np.concatenate([first.data, second.data]),
        first.width,
    )


def nearest(rows: Rows, known: Neighbours | None = None, count: int = NUM_NEIGHBOURS) -> Neighbours:
    """Return each course's `count` nearest courses by cosine.

    `known` holds those of the first courses among themselves, so that only what is new is computed.
    """
    matrix, size = matrix_of(rows), len(rows)
    turned = matrix.T.tocsr()
    old = len(known) if known else 0
    found = [_merge_new(matrix, known, count)] if known else []
    found += [
        _largest_stored(matrix[start : start + _CHUNK] @ turned, start, min(count, size))
        for start in range(old, size, _CHUNK)
    ]
    width = max((len(part.indices[0]) for part in found if len(part)), default=0)
    padded = [_pad(part, width) for part in found]
    indices = np.vstack([part.indices for part in padded] or [np.empty((0, 0), np.int32)])
    weights = np.vstack([part.weights for part in padded] or [np.empty((0, 0), np.float32)])
    themselves = np.arange(len(indices), dtype=np.int32)[:, None]
    return Neighbours(np.where(weights > 0, indices, themselves), weights)


def _largest_stored(cosines: Matrix, first: int, count: int) -> Neighbours:
    """Return what `_largest` does of the courses from `first` on, but for themselves; 0 where there are fewer.

    Most courses share no word: a row of all courses costs forty times as much where there are 200,000.
    """
    shape = cosines.shape[0], count
    found = Neighbours(np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.float32))
    for row, (start, end) in enumerate(pairwise(cosines.indptr.tolist())):
        columns, values = cosines.indices[start:end], cosines.data[start:end]
        others = columns != first + row
        own = _largest(values[None, others], columns[None, others], count)
        found.indices[row, : own.indices.shape[1]], found.weights[row, : own.indices.shape[1]] = (
            own.indices,
            own.weights,
        )
    return found


def _merge_new(matrix: Matrix, known: Neighbours, count: int) -> Neighbours:
    """Return the neighbours of the known courses among all: the known ones, and those that are new."""
    old, size = len(known), matrix.shape[0]
    if old == size:
        return known
    fresh = matrix[old:].T.tocsr()
    parts = []
    for start in range(0, old, _CHUNK):
        part = slice(start, min(start + _CHUNK, old))
        cosines = (matrix[part] @ fresh).toarray()  # (chunk, new)
        columns = np.broadcast_to(np.arange(old, size, dtype=np.int32), cosines.shape)
        parts.append(
            _largest(np.hstack([known.weights[part], cosines]), np.hstack([known.indices[part], columns]), count)
        )
    return Neighbours(np.vstack([one.indices for one in parts]), np.vstack([one.weights for one in parts]))


def _largest(values: Floats, columns: NDArray[np.int32], count: int) -> Neighbours:
    """Return the `count` largest values a row with their columns, largest first, ties by column."""
    count = min(count, values.shape[1])
    keys = columns * _TIE - values  # no two alike, so the choice does not depend on the machine's partition
    chosen = np.argpartition(keys, count - 1, axis=1)[:, :count] if count else np.empty((len(keys), 0), np.int64)
    order = np.take_along_axis(chosen, np.argsort(np.take_along_axis(keys, chosen, axis=1), axis=1), axis=1)
    return Neighbours(
        np.take_along_axis(columns, order, axis=1).astype(np.int32),
        np.take_along_axis(values, order, axis=1).astype(np.float32),
    )


def _pad(part: Neighbours, width: int) -> Neighbours:
    missing = ((0, 0), (0, width - part.indices.shape[1]))
    return Neighbours(np.pad(part.indices, missing), np.pad(part.weights, missing))
