"""Models made by hand: one at random, and a checkerboard of two groups whose answer is known."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from recommender.content import fit_text, text_of
from recommender.fold import FoldedLearner
from recommender.history import Learner
from recommender.index import Index
from recommender.model import LAYERS, WIDER, Ease, Floats, Model, NeuMF, Rows
from recommender.popularity import popularity_of
from recommender.recommend import Recommender, prepare
from schemas.courses import Course
from schemas.events import Enrolled

GROUP = 8
"""Courses a group of the checkerboard."""


def rows_of(dense: Floats) -> Rows:
    """Return the sparse rows of a dense matrix."""
    owner, column = dense.nonzero()
    indptr = np.concatenate(([0], np.cumsum(np.bincount(owner, minlength=len(dense))))).astype(np.int64)
    return Rows(indptr, column.astype(np.int32), dense[owner, column].astype(np.float32), dense.shape[1])


def make_neumf(n: int = 12, d: int = 4, seed: int = 0, decays: Sequence[float] = (0.0, 0.8, 1.0)) -> NeuMF:
    """Return a NeuMF of random numbers."""
    random = np.random.default_rng(seed)

    def draw(*shape: int) -> Floats:
        return random.normal(scale=0.3, size=shape).astype(np.float32)

    k, wide, (one, two, three) = len(decays), WIDER * d, LAYERS
    return NeuMF(
        np.array(decays, dtype=np.float32), draw(n, d), draw(k, d, d), draw(d), draw(d, wide), draw(wide),
        draw(wide, d), draw(k, d, d), draw(d), draw(n, d), draw(n, d), draw(n), draw(d), draw(d, one), draw(d, one),
        draw(one), draw(one, two), draw(two), draw(two, three), draw(three), draw(three),
    )  # fmt: skip


def make_model(n: int = 12, seed: int = 0) -> Model:
    """Return a whole model of random numbers over courses c00, c01, ..."""
    random = np.random.default_rng(seed)
    neumf = make_neumf(n, seed=seed)
    weights = random.normal(size=(n, n)).astype(np.float32)
    np.fill_diagonal(weights, 0)
    texts = [" ".join(random.choice(["sql", "python", "excel", "word", "law"], 4)) for _ in range(n)]
    return Model(
        course_ids=tuple(f"c{index:02d}" for index in range(n)),
        text=fit_text(texts),
        neumf=neumf,
        ease=Ease(rows_of(weights)),
        index=Index.build(neumf).to_bytes(),
    )


def enrol(*course_ids: str) -> Learner:
    """Return a learner who enrolled in these courses, one a second."""
    folded = FoldedLearner()
    for second, course_id in enumerate(course_ids, start=1):
        event = Enrolled(event_id=f"e-{course_id}", user_id="u", course_id=course_id, occurred_at=second)
        folded.apply(event, 10_000_000)
    return folded.learner()


def checkerboard_courses() -> dict[str, Course]:
    """Return two groups of courses, a0.. in English on SQL, b0.. in German on law."""
    courses = [Course(course_id=f"a{i}", title="sql query", language="en", level="easy") for i in range(GROUP)]
    courses += [Course(course_id=f"b{i}", title="recht gesetz", language="de") for i in range(GROUP)]
    return {course.course_id: course for course in courses}


def checkerboard_model() -> Model:
    """Return a model that has learned that learners stay in their group."""
    catalogue = checkerboard_courses()
    board = np.repeat(np.eye(2, dtype=np.float32), GROUP, axis=0)  # (16, 2)
    zero = {name: np.zeros_like(getattr(make_neumf(2 * GROUP, 2), name)) for name in ("w1_learner", "w1_course", "b1")}
    eye = np.stack([np.eye(2, dtype=np.float32)] * 3)
    random = make_neumf(2 * GROUP, 2)
    neumf = NeuMF(
        random.decays, board, eye, np.zeros(2, np.float32), random.gmf_in, random.gmf_in_bias,
        np.zeros_like(random.gmf_back), eye, np.zeros(2, np.float32), board, board,
        np.zeros(2 * GROUP, np.float32), np.ones(2, np.float32), zero["w1_learner"], zero["w1_course"], zero["b1"],
        random.w2, random.b2, random.w3, random.b3, random.mlp_out,
    )  # fmt: skip
    same = board @ board.T
    np.fill_diagonal(same, 0)
    return Model(
        course_ids=tuple(catalogue),
        text=fit_text([text_of(course) for course in catalogue.values()]),
        neumf=neumf,
        ease=Ease(rows_of(0.1 * same)),
        index=Index.build(neumf).to_bytes(),
    )


@pytest.fixture(scope="session")
def neumf_of() -> Callable[..., NeuMF]:
    """Make random NeuMFs."""
    return make_neumf


@pytest.fixture(scope="session")
def model_of() -> Callable[..., Model]:
    """Make random models."""
    return make_model


@pytest.fixture(scope="session")
def rows_from() -> Callable[[Floats], Rows]:
    """Make sparse rows."""
    return rows_of


@pytest.fixture(scope="session")
def enrolled_in() -> Callable[..., Learner]:
    """Make learners by their courses."""
    return enrol


@pytest.fixture(scope="session")
def catalogue() -> dict[str, Course]:
    """Courses of the checkerboard."""
    return checkerboard_courses()


@pytest.fixture(scope="session")
def checkerboard() -> Model:
    """Model of the checkerboard."""
    return checkerboard_model()


@pytest.fixture(scope="session")
def recommender(checkerboard: Model, catalogue: dict[str, Course]) -> Recommender:
    """Recommender of the checkerboard; b7 is the most popular course, a0 trends."""
    counts = {course_id: {1: 2 + place} for place, course_id in enumerate(catalogue)} | {"a0": {100: 1}}
    return Recommender(prepare(checkerboard), catalogue, popularity_of(counts))
