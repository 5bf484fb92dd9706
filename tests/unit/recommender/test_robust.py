"""Whatever comes in, a finite list or an empty one comes out."""

import resource
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.content import fit_text
from recommender.history import Entry, Learner, Profile
from recommender.model import Ease, Model, Rows
from recommender.popularity import Popularity, popularity_of
from recommender.recommend import Recommendation, Recommender, prepare
from schemas.candidates import Version, unpack_candidates
from schemas.courses import Course
from tests.unit.recommender.conftest import make_model

TEXTS = ("", "learn sql", "изучение языка", "تعلم اللغة", "भाषा सीखें", "学习语言", "  ", "???")
IDS = ("1", "01", "1.0", "1e3", "-7", "०१", "NaN", "None")


def check(recommender: Recommender, learners: list[Learner], limit: int = 20) -> list[Recommendation]:
    """Return the lists after proving that they are whole: finite, falling, packable, without what is barred."""
    found = recommender.recommend(learners, limit)
    assert len(found) == len(learners)
    for ranked, listed, learner in zip(recommender.rank(learners, limit), found, learners, strict=True):
        courses = [candidate.course_id for candidate in listed.candidates]
        barred = learner.taken | learner.refused
        open_ids = [
            one for one, active in zip(recommender.course_ids, recommender.universe.active, strict=True) if active
        ]
        assert len(courses) == len(set(courses)) == min(limit, sum(one not in barred for one in open_ids))
        assert not barred.intersection(courses)
        numbers = np.array([[one.score, *one.components] for one in listed.candidates]).reshape(-1, 6)
        assert np.isfinite(numbers).all()
        assert (np.diff(numbers[:, 0]) <= 0).all()
        assert [one.course_id for one in unpack_candidates(ranked.pack(Version(0, 0, 0, 0), 1)).candidates] == courses
    return found


def enrol(*course_ids: str) -> Learner:
    """Return a learner who took these courses."""
    entries = tuple(Entry(course_id, 1.0, at, bytes(16)) for at, course_id in enumerate(course_ids))
    return Learner(entries, frozenset(course_ids))


LEARNERS = [
    Learner(),
    enrol("1"),
    enrol(*IDS),
    enrol("unheard of"),
    Learner(refused=frozenset(IDS)),
    Learner(profile=Profile(("学习", "sql"), ("भाषा",), ("", "xx"), "???")),
    Learner(queries=("", "تعلم", "zzz"), signals=(("01", 0.1), ("unheard of", 0.2))),
    Learner((Entry("1", -0.5, 1, bytes(16)), Entry("01", 0.25, 1, bytes(16))), refused=frozenset({"1"})),
]


@settings(deadline=None, max_examples=80)
@given(
    known=st.integers(0, len(IDS)),
    new=st.integers(0, len(IDS)),
    kind=st.sampled_from(["bootstrap", "whole"]),
    texts=st.lists(st.sampled_from(TEXTS), min_size=len(IDS), max_size=len(IDS)),
    retired=st.sets(st.sampled_from(IDS)),
    counts=st.sampled_from([{}, {one: {1: 5} for one in IDS}, {"1": {1: 1}}]),
    limit=st.sampled_from([1, 2, 5, 250]),
)
def test_small_and_strange_catalogues(
    known: int, new: int, kind: str, texts: list[str], retired: set[str], counts: dict[str, dict[int, int]], limit: int
) -> None:
    ids = IDS[:known]
    model = Model(ids, fit_text(texts[:known]))
    if kind == "whole":
        drawn = make_model(known, 1)
        model = replace(drawn, course_ids=ids, text=model.text)
    catalogue = {
        one: Course(course_id=one, title=text, retired=one in retired)
        for one, text in zip(IDS[:new], texts[:new], strict=True)
    }
    check(Recommender(prepare(model), catalogue, popularity_of(counts)), LEARNERS, limit)


def test_a_model_that_says_nothing() -> None:
    """All vectors, neighbours and counts are 0 or equal: no component tells two courses apart."""
    drawn = make_model(30, 2)
    assert drawn.neumf is not None
    flat = replace(
        drawn.neumf,
        **{name: np.zeros_like(getattr(drawn.neumf, name)) for name in ("gmf_course", "mlp_course", "bias")},
    )
    none = Rows(np.zeros(31, np.int64), np.empty(0, np.int32), np.empty(0, np.float32), 30)
    model = replace(drawn, neumf=flat, ease=Ease(none), text=fit_text(["same"] * 30))
    recommender = Recommender(prepare(model), {}, Popularity(dict.fromkeys(model.course_ids, 1.0)))
    found = check(recommender, [enrol("c03", "c04"), Learner(), Learner(queries=("same",))])
    assert all(candidate.cause is None for candidate in found[0].candidates)


@pytest.mark.parametrize("decay", [0.9, 1.0])
def test_a_learner_with_5_000_courses(decay: float, model_of: Callable[..., Model]) -> None:
    n, width = 6_000, 50
    random = np.random.default_rng(0)
    model = model_of(n=10)
    columns = np.sort((np.arange(n)[:, None] + 1 + np.arange(width)) % n, axis=1).astype(np.int32)
    rows = Rows(np.arange(n + 1, dtype=np.int64) * width, columns.ravel(), random.random(n * width, np.float32), n)
    whole = Model(tuple(f"c{i}" for i in range(n)), fit_text([""] * n), model.blend, ease=Ease(rows, decay))
    recommender = Recommender(prepare(whole), {}, popularity_of({}))
    hoarder = enrol(*(f"c{i}" for i in random.permutation(n)[:5_000].tolist()))
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    found = check(recommender, [hoarder, enrol("c1"), Learner()], limit=100)
    assert found[0].causes
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # kB
    assert time.process_time() - started < 20
