"""A named cause is true: without it the score is lower. And what is said to be lost is what a new computation loses."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.evidence import Evidence, gather
from recommender.history import Entry, Learner, Profile
from recommender.leave_out import MAX_CAUSES, lost_of, window_of
from recommender.model import Ease, Floats, Model
from recommender.popularity import popularity_of
from recommender.rank import weights_of
from recommender.recommend import Recommender, prepare
from recommender.universe import Universe
from schemas.candidates import Source
from schemas.courses import Course
from tests.unit.recommender.conftest import make_model, make_neumf

COURSES = 40
NEW = 4
"""Courses of the catalogue that the model does not know."""

weights = st.sampled_from([1.0, 1.5, 1.125, 0.1, 0.25, -0.5])
histories = st.lists(
    st.tuples(st.integers(0, COURSES + NEW - 1), weights), max_size=30, unique_by=lambda entry: entry[0]
)


def course_id(index: int) -> str:
    """Return the id of a course, by dense index."""
    return f"c{index:02d}" if index < COURSES else f"new{index}"


def learner_from(pairs: list[tuple[int, float]], taken: frozenset[str] | None = None) -> Learner:
    """Return a learner with these courses and weights, oldest first; weights of 0.25 and -0.5 are opinions alone."""
    entries = tuple(Entry(course_id(course), weight, at, bytes(16)) for at, (course, weight) in enumerate(pairs))
    own = frozenset(entry.course_id for entry in entries if entry.weight not in (0.25, -0.5))
    return Learner(
        entries, own if taken is None else taken, signals=(("c01", 0.2),), profile=Profile(interests=("sql",))
    )


def recommender_of(seed: int, decay: float, decays: tuple[float, ...] = (0.0, 0.8, 1.0)) -> Recommender:
    """Return a recommender of random numbers, with courses that the model does not know."""
    model: Model = make_model(COURSES, seed)
    assert model.ease is not None
    neumf = make_neumf(COURSES, seed=seed, decays=decays)
    model = replace(model, ease=Ease(model.ease.rows, decay), neumf=neumf)
    catalogue = {
        course_id(index): Course(course_id=course_id(index), title="sql law") for index in range(COURSES, COURSES + NEW)
    }
    return Recommender(prepare(model), catalogue, popularity_of({"c03": {1: 4}, "c04": {1: 2}}))


def doubly(universe: Universe, evidence: Evidence, course: int) -> Floats:
    """Return the learner's logit, item-item and content score of a course, computed anew."""
    logit = 0.0
    prepared = universe.prepared.collaborative
    if course < universe.num_known and prepared is not None and evidence.vectors is not None:
        logit = float(prepared.scorer.logits(evidence.vectors, np.array([0]), np.array([course]))[0])
    assert evidence.interest is not None
    own = np.array([course])  # one learner: cells are courses
    content = float((evidence.content.take(own) + evidence.interest.take(own))[0])
    return np.array([logit, float(evidence.item_item.take(own)[0]), content], dtype=np.float64)


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), histories)
def test_a_named_cause_is_true(seed: int, decay: float, pairs: list[tuple[int, float]]) -> None:
    recommender, learner = recommender_of(seed, decay), learner_from(pairs)
    universe = recommender.universe
    scored = recommender.components([learner], limit=20)
    factors = weights_of(universe.prepared.model.blend, gather([learner], universe)) * scored.inverse
    [found] = recommender.recommend([learner], limit=20)
    for candidate in found.candidates:
        if candidate.cause is None:
            continue
        assert candidate.source in (Source.COLLABORATIVE, Source.CONTENT)
        cause, course = found.causes[candidate.cause], universe.index_of[candidate.course_id]
        assert cause in learner.taken
        shorter = replace(learner, entries=tuple(entry for entry in learner.entries if entry.course_id != cause))
        before, after = (doubly(universe, gather([one], universe), course) for one in (learner, shorter))
        assert (factors[0, :3] * (after - before)).sum() < 0


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.1, 0.9, 1.0]), histories.filter(bool))
def test_what_is_lost_is_what_a_new_computation_loses(seed: int, decay: float, pairs: list[tuple[int, float]]) -> None:
    check_lost(recommender_of(seed, decay), learner_from(pairs))


def test_what_is_lost_of_histories_longer_than_the_window() -> None:
    model = make_model(3 * MAX_CAUSES, 1)
    assert model.ease is not None
    entries = tuple(Entry(f"c{i:02d}", 1.0 - i % 3 / 4, i, bytes(16)) for i in range(2 * MAX_CAUSES))
    learner = Learner(entries, frozenset(entry.course_id for entry in entries), profile=Profile(interests=("sql",)))
    for decay in (0.9, 0.99, 1.0):
        neumf = make_neumf(3 * MAX_CAUSES, seed=1, decays=(0.0, 0.95, 1.0))
        own = replace(model, ease=Ease(model.ease.rows, decay), neumf=neumf)
        check_lost(Recommender(prepare(own), {}, popularity_of({})), learner)


def test_causes_of_long_histories_are_those_of_each_learner_alone() -> None:
    model = make_model(3 * MAX_CAUSES, 1)
    known, new = ([f"{kind}{i:02d}" for i in range(MAX_CAUSES)] for kind in ("c", "new"))
    catalogue = {course: Course(course_id=course, title="sql law") for course in new}
    recommender = Recommender(prepare(model), catalogue, popularity_of({}))
    mixed = [course for pair in zip(known, new, strict=True) for course in pair]
    learners = [
        Learner(tuple(Entry(course, 1.0, i, bytes(16)) for i, course in enumerate(taken)), frozenset(taken))
        for taken in (known, mixed)
    ]
    together, alone = recommender.recommend(learners), [recommender.recommend([one])[0] for one in learners]
    for one, other in zip(together, alone, strict=True):
        assert one.causes == other.causes
        assert [(c.course_id, c.cause) for c in one.candidates] == [(c.course_id, c.cause) for c in other.candidates]


def check_lost(recommender: Recommender, learner: Learner) -> None:
    """Compare what is lost of some courses' scores with what a learner without the entry has."""
    universe = recommender.universe
    evidence, courses = gather([learner], universe), np.array([[0, 5, 17, len(universe) - 1, -1]])
    assert evidence.interest is not None
    contents = evidence.content.take(courses) + evidence.interest.take(courses)
    window = window_of(evidence)
    prepared = universe.prepared.collaborative
    assert prepared is not None
    for component in range(3):
        factors = np.eye(5, dtype=np.float32)[component : component + 1]
        lost = lost_of(evidence, universe, window, courses, contents, factors)
        assert lost.halves is not None
        for place, position in enumerate(window.positions[0].tolist()):
            shorter = replace(learner, entries=learner.entries[:position] + learner.entries[position + 1 :])
            without = gather([shorter], universe)
            for slot, course in enumerate(courses[0, :4].tolist()):
                before, after = doubly(universe, evidence, course), doubly(universe, without, course)
                wanted, found = (before - after)[component], float(lost.scores[0, slot, place])
                if component == 0 and course < universe.num_known:
                    own, other = (
                        _deep(recommender, half, course)
                        for half in (_half(recommender, evidence), lost.halves[0, place])
                    )
                    found += own - other
                np.testing.assert_allclose(found, wanted, atol=2e-4, rtol=1e-3)


def _half(recommender: Recommender, evidence: Evidence) -> Floats:
    prepared = recommender.universe.prepared.collaborative
    assert prepared is not None
    assert evidence.vectors is not None
    half: Floats = prepared.scorer.learner_half(evidence.vectors.mlp)[0]
    return half


def _deep(recommender: Recommender, half: Floats, course: int) -> float:
    prepared = recommender.universe.prepared.collaborative
    assert prepared is not None
    return float(prepared.scorer.deep(half[None], np.array([0]), np.array([course]))[0])
