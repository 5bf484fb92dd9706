"""What a model is served with: its prepared arrays, and the courses of model and catalogue as one dense range."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recommender.content import Matrix, Vectoriser, matrix_of, nearest, stack, text_of, tokens
from recommender.index import Index, is_large
from recommender.model import DEFAULT_DECAY, Floats, Model, NeuMF
from recommender.neighbours import Neighbours
from recommender.neumf import Scorer
from recommender.popularity import latest
from schemas.courses import Course

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Collaborative:
    """The prepared NeuMF of a model."""

    neumf: NeuMF
    scorer: Scorer
    index: Index
    towers: Floats  # (K * d, d + 128): from pooled vectors to the flat GMF vector, and to the learner's half of the MLP
    empty: Floats  # (d + 128,), the same of no history
    explained: Floats  # (n + 1, d): gmf_out * q_gmf; the last row, and those of courses that nobody took, are 0

    def projected(self, pooled: Floats) -> tuple[Floats, Floats]:
        """Return the flat GMF vectors and the learners' halves of the MLP, (B, d) and (B, 128), of (B, K * d)."""
        found = pooled @ self.towers
        found += self.empty
        flat, halves = np.hsplit(found, [len(self.neumf.gmf_empty)])
        return flat, np.ascontiguousarray(halves)  # rows are gathered from them


@dataclass(frozen=True, eq=False)
class Prepared:
    """A model and what is derived from it once: costly to make, shared by all recommenders of the model."""

    model: Model
    collaborative: Collaborative | None
    content: Neighbours
    vectoriser: Vectoriser

    @property
    def decay(self) -> float:
        """Decay of item-item scores per later course."""
        return self.model.ease.decay if self.model.ease else DEFAULT_DECAY


def prepare(model: Model, content: Neighbours | None = None) -> Prepared:
    """Return a model ready to serve; BundleError if its index does not fit. `content`: of the same text, if known."""
    collaborative = None
    if model.neumf is not None and model.index is not None:
        neumf, scorer = model.neumf, Scorer(model.neumf)
        collaborative = Collaborative(
            neumf,
            scorer,
            Index.from_bytes(model.index, neumf),
            np.vstack(
                [np.hstack(pair) for pair in zip(neumf.gmf_tower, neumf.mlp_tower @ neumf.w1_learner, strict=True)]
            ),
            np.hstack([neumf.gmf_empty, neumf.mlp_empty @ neumf.w1_learner]),
            np.vstack([_heard(scorer.gmf_course, model.taken), np.zeros((1, neumf.history.shape[1]), np.float32)]),
        )
    text = model.text
    near = nearest(text.rows) if content is None else content
    return Prepared(model, collaborative, near, Vectoriser(text.vocabulary, text.idf))


def _heard(vectors: Floats, taken: Mask | None) -> Floats:
    return vectors if taken is None else np.where(taken[:, None], vectors, np.float32(0))


@dataclass(frozen=True, eq=False)
class Universe:
    """The courses that exist for one model and one catalogue: the model's first, in its order, then the new ones by id.

    Courses that the model does not know are new: text alone speaks for them. Retired ones stay, inactive.
    """

    prepared: Prepared
    catalogue: Mapping[str, Course]

    @cached_property
    def course_ids(self) -> tuple[str, ...]:
        """Ids of all N courses in dense order."""
        known = self.prepared.model.course_ids
        return known + tuple(sorted(self.catalogue.keys() - set(known)))

    @cached_property
    def index_of(self) -> dict[str, int]:
        """Dense index of each course."""
        return {course_id: index for index, course_id in enumerate(self.course_ids)}

    def settle(self) -> None:
        """Compute now what would be computed at first use, so that no list waits for it."""
        for name in (
            "index_of",
            "active",
            "heard",
            "recency",
            "encoded_ids",
            "_language_codes",
            "_levels",
            "_new_and_content",
            "item_item",
        ):
            getattr(self, name)

    @property
    def num_known(self) -> int:
        """Number of courses that the model knows; the later ones are new."""
        return len(self.prepared.model.course_ids)

    def __len__(self) -> int:
        return len(self.course_ids)

    @property
    def is_large(self) -> bool:
        """Whether evidence is of the courses that are named, and no longer of all."""
        return is_large(len(self))

    @cached_property
    def heard(self) -> Mask:
        """Which courses histories speak of, (N,): known to the model, and taken by somebody when it was made."""
        heard = np.arange(len(self)) < self.num_known
        if (taken := self.prepared.model.taken) is not None:
            heard[: self.num_known] = taken
        return heard

    @cached_property
    def active(self) -> Mask:
        """Which courses may be recommended: not retired, (N,)."""
        courses = (self.catalogue.get(course_id) for course_id in self.course_ids)
        return np.array([course is None or not course.retired for course in courses], dtype=np.bool_)

    @cached_property
    def recency(self) -> Floats:
        """Order of the new courses, (new,), 1 down to 0: by publishing date, those without one behind, by id."""
        new = self.course_ids[self.num_known :]
        place_of = {course_id: place for place, course_id in enumerate(latest(self.catalogue))}
        order = sorted(range(len(new)), key=lambda index: (place_of.get(new[index], len(place_of)), index))
        recency = np.empty(len(new), dtype=np.float32)
        recency[order] = np.linspace(1.0, 0.0, len(new), endpoint=False, dtype=np.float32)
        return recency

    @cached_property
    def _language_codes(self) -> tuple[dict[str, int], NDArray[np.int64]]:
        found = (self.catalogue.get(course_id) for course_id in self.course_ids)
        languages = [course.language.casefold() if course else "" for course in found]
        code_of = {language: code for code, language in enumerate(sorted({*languages, ""}))}
        return code_of, np.array([code_of[language] for language in languages], dtype=np.int64)

    @cached_property
    def _levels(self) -> tuple[tuple[frozenset[str], ...], NDArray[np.int64]]:
        found = (self.catalogue.get(course_id) for course_id in self.course_ids)
        named = [frozenset(tokens(course.level)) if course else frozenset() for course in found]
        code_of = {words: code for code, words in enumerate(dict.fromkeys(named))}
        return tuple(code_of), np.array([code_of[words] for words in named], dtype=np.int64)

    def at_level(self, level: str) -> Mask:
        """Return which courses name this level, (N,): "Beginner" is also "Beginner Level"."""
        kinds, codes = self._levels
        wanted = frozenset(tokens(level))
        fits = np.array([bool(wanted) and wanted <= words for words in kinds], dtype=np.bool_)
        return fits[codes]

    @cached_property
    def encoded_ids(self) -> tuple[list[bytes], NDArray[np.uint8]]:
        """Ids of all courses in UTF-8, and their lengths, as packed lists hold them."""
        encoded = [course_id.encode() for course_id in self.course_ids]
        return encoded, np.array([len(one) for one in encoded], dtype=np.uint8)

    def spoken(self, languages: Sequence[str], courses: NDArray[np.int32]) -> Mask:
        """Return which courses are in these languages, in those of `courses`, or in none that is known, (N,)."""
        code_of, codes = self._language_codes
        allowed = np.zeros(len(code_of), dtype=np.bool_)
        allowed[[code_of[one] for one in (*map(str.casefold, languages), "") if one in code_of]] = True
        allowed[codes[courses]] = True
        return allowed[codes]

    @cached_property
    def _new_and_content(self) -> tuple[Matrix, Neighbours]:
        prepared = self.prepared
        new = (self.catalogue[course_id] for course_id in self.course_ids[self.num_known :])
        rows = stack(prepared.model.text.rows, prepared.vectoriser.rows(text_of(course) for course in new))
        return matrix_of(rows).T.tocsr(), nearest(rows, prepared.content)

    @property
    def words(self) -> Matrix:
        """The courses' TF-IDF by word, (v, N)."""
        return self._new_and_content[0]

    @property
    def content(self) -> Neighbours:
        """The courses nearest to each course by content."""
        return self._new_and_content[1]

    @cached_property
    def item_item(self) -> Neighbours | None:
        """EASE's neighbours of each course; new ones have none."""
        ease = self.prepared.model.ease
        return Neighbours.from_rows(ease.rows, len(self)) if ease else None
