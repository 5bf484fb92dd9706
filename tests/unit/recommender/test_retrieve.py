"""Candidates and scores against a reference that says plainly what they are, a learner and a course at a time."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.content import fit_text
from recommender.evidence import CONTENT_DECAY
from recommender.history import Entry, Learner, Profile
from recommender.model import Model
from recommender.neighbours import NEGLIGIBLE, Neighbours
from recommender.popularity import popularity_of
from recommender.recommend import Recommender, prepare
from recommender.retrieve import FEWEST_POPULAR, REACH, _add_largest
from schemas.courses import Course
from tests.unit.recommender.conftest import make_model

COURSES = 150
MODEL = make_model(COURSES, 3)
CATALOGUE = {
    course.course_id: course
    for course in (
        *(Course(course_id=f"c{i:02d}", language="de" if i % 3 else "en", retired=i % 17 == 5) for i in range(COURSES)),
        *(Course(course_id=f"new{i}", title="sql law", language="en") for i in range(6)),
    )
}
COUNTS = {f"c{i:02d}": {i % 90: 1 + i * 7 % 31} for i in range(0, COURSES, 2)}
RECOMMENDER = Recommender(prepare(MODEL), CATALOGUE, popularity_of(COUNTS))

histories = st.lists(
    st.tuples(st.integers(0, COURSES + 5), st.sampled_from([1.0, 0.5, -0.5])), max_size=25, unique_by=lambda one: one[0]
)


def learner_from(pairs: list[tuple[int, float]]) -> Learner:
    """Return a learner who has taken these courses, oldest first."""
    ids = RECOMMENDER.course_ids
    entries = tuple(Entry(ids[course], weight, at, bytes(16)) for at, (course, weight) in enumerate(pairs))
    return Learner(entries, frozenset(entry.course_id for entry in entries))


class Reference:
    """What is known of one learner and every course, computed plainly."""

    def __init__(self, learner: Learner) -> None:
        universe = RECOMMENDER.universe
        self.places = [universe.index_of[entry.course_id] for entry in learner.entries]
        self.weights = [entry.weight for entry in learner.entries]
        gone = set(self.places)
        self.eligible = [bool(universe.active[course]) and course not in gone for course in range(len(universe))]
        decay = universe.prepared.decay
        self.item_item = self.summed(universe.item_item, decay) if universe.item_item else []
        content = self.summed(universe.content, CONTENT_DECAY)
        mass = sum(abs(weight) * self.fading(place, CONTENT_DECAY) for place, weight in enumerate(self.weights))
        self.content = [value / (mass or 1.0) for value in content]
        self.gmf, self.logits = self.network()

    def fading(self, place: int, decay: float) -> float:
        """Return what is left of an entry's weight."""
        factor = decay ** (len(self.places) - 1 - place)
        return float(factor) if factor >= NEGLIGIBLE else 0.0

    def summed(self, neighbours: Neighbours, decay: float) -> list[float]:
        """Return what the history adds up to over its courses' neighbours."""
        sums = [0.0] * len(RECOMMENDER.universe)
        for place, (course, weight) in enumerate(zip(self.places, self.weights, strict=True)):
            near = zip(neighbours.indices[course].tolist(), neighbours.weights[course].tolist(), strict=True)
            for other, cosine in near:
                sums[other] += weight * self.fading(place, decay) * cosine
        return sums

    def network(self) -> tuple[list[float], list[float]]:
        """Return GMF part with bias, and logit, of every course that the model knows."""
        net = MODEL.neumf
        assert net is not None
        known = [(course, weight) for course, weight in zip(self.places, self.weights, strict=True) if course < COURSES]
        gmf, mlp = net.gmf_empty.astype(np.float64), net.mlp_empty.astype(np.float64)
        for k, decay in enumerate(net.decays.astype(np.float64)):
            parts = [weight * decay ** (len(known) - 1 - place) for place, (_, weight) in enumerate(known)]
            mass = sum(map(abs, parts)) or 1.0
            for (course, _), part in zip(known, parts, strict=True):
                gmf = gmf + part / mass * (net.history[course] @ net.gmf_tower[k])
                mlp = mlp + part / mass * (net.history[course] @ net.mlp_tower[k])
        normal = (gmf - gmf.mean()) / np.sqrt(gmf.var() + 1e-5)
        gmf = gmf + np.maximum(normal @ net.gmf_in + net.gmf_in_bias, 0) @ net.gmf_back
        shallow = net.gmf_course @ (net.gmf_out * gmf) + net.bias
        hidden = np.maximum(mlp @ net.w1_learner + net.mlp_course @ net.w1_course + net.b1, 0)
        hidden = np.maximum(hidden @ net.w2 + net.b2, 0)
        hidden = np.maximum(hidden @ net.w3 + net.b3, 0)
        return shallow.tolist(), (shallow + hidden @ net.mlp_out).tolist()

    def best(self, scores: Sequence[float], count: int, floor: float) -> tuple[set[int], set[int]]:
        """Return what must and what may be among the best eligible courses above `floor`: ties may, or may not."""
        own = {course: score for course, score in enumerate(scores) if self.eligible[course] and score > floor}
        cut = sorted(own.values(), reverse=True)[:count][-1] if own and count else np.inf
        must = {course for course, score in own.items() if score > cut + 1e-5}
        return must, {course for course, score in own.items() if score >= cut - 1e-5}


@settings(deadline=None, max_examples=60)
@given(histories)
def test_candidates_and_scores_equal_the_reference(pairs: list[tuple[int, float]]) -> None:
    _compare_with_the_reference(pairs)


@settings(deadline=None, max_examples=40)
@given(histories)
def test_of_a_large_catalogue_only_what_is_named_is_looked_at_to_the_same_end(pairs: list[tuple[int, float]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recommender.index.EXACT_UP_TO", 100)
        assert RECOMMENDER.universe.is_large
        _compare_with_the_reference(pairs)


def _compare_with_the_reference(pairs: list[tuple[int, float]]) -> None:
    learner, limit = learner_from(pairs), 20
    reference, scored = Reference(learner), RECOMMENDER.components([learner], limit)
    reach = max(round(limit * REACH.popular), FEWEST_POPULAR) if any(weight > 0 for _, weight in pairs) else limit
    sources = [
        reference.best(RECOMMENDER.popular.tolist(), reach, -1.0),
        reference.best(RECOMMENDER.trending.tolist(), reach, 0.0),
        reference.best(reference.gmf, round(limit * REACH.index) if pairs else 0, -np.inf),
        reference.best(reference.item_item, round(limit * REACH.item_item), 1e-12),
        reference.best(reference.content, round(limit * REACH.content), 1e-12),
    ]
    found, fresh = set(scored.courses.tolist()), set(scored.courses[scored.fresh].tolist())
    assert set[int]().union(*(must for must, _ in sources)) <= found
    assert found <= fresh.union(*(may for _, may in sources))
    assert len(fresh) == min(2, sum(reference.eligible[COURSES:]))
    for course, values in zip(scored.courses.tolist(), scored.values, strict=True):
        logit = [reference.logits[course]] if course < COURSES else []
        wanted = [*logit, reference.item_item[course], reference.content[course]]
        np.testing.assert_allclose(values[3 - len(wanted) : 3], wanted, atol=1e-4)
        assert values[3:].tolist() == [RECOMMENDER.popular[course], RECOMMENDER.trending[course]]


def test_only_courses_in_declared_languages_while_there_are_enough() -> None:
    learner = Learner(profile=Profile(languages=("en",), interests=("sql",)))
    scored = RECOMMENDER.components([learner], 20)
    languages = {CATALOGUE[RECOMMENDER.course_ids[course]].language for course in scored.courses.tolist()}
    assert languages == {"en"}
    assert len(scored.courses) >= 20


def test_faiss_finds_what_scoring_all_courses_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the learners has refused nearly all, so that the index must be searched deeper; one has only wishes."""
    ids = RECOMMENDER.course_ids
    refusing = Learner((Entry("c00", 1.0, 1, bytes(16)),), frozenset({"c00"}), frozenset(ids[1 : COURSES - 12]))
    learners = [refusing, learner_from([(3, 1.0), (9, 0.5)]), Learner(), Learner(profile=Profile(languages=("en",)))]
    learners += [Learner(profile=Profile(interests=("sql law",))), replace(learners[1], signals=(("c07", 0.5),))]
    scored = RECOMMENDER.components(learners, 10)
    listed = RECOMMENDER.recommend(learners, 10)
    monkeypatch.setattr("recommender.index.EXACT_UP_TO", 0)
    monkeypatch.setattr("recommender.retrieve._SPARE", 0)
    large = Recommender(prepare(MODEL), CATALOGUE, popularity_of(COUNTS))
    searched = large.components(learners, 10)
    np.testing.assert_array_equal(searched.rows, scored.rows)
    np.testing.assert_array_equal(searched.courses, scored.courses)
    np.testing.assert_allclose(searched.values, scored.values, atol=1e-4)
    for one, other in zip(large.recommend(learners, 10), listed, strict=True):
        assert [(row.course_id, row.source, row.cause) for row in one.candidates] == [
            (row.course_id, row.source, row.cause) for row in other.candidates
        ]


def test_ties_do_not_bring_in_the_whole_catalogue() -> None:
    alike = Model(tuple(f"c{i}" for i in range(500)), fit_text(["same words"] * 500))
    recommender = Recommender(prepare(alike), {}, popularity_of({}))
    scored = recommender.components([Learner(profile=Profile(interests=("words",)))], 20)
    assert 20 <= len(scored.courses) <= 60


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30), st.sampled_from([2, 9, 1_000]), st.sampled_from([1e-12, -9.0]))
def test_the_largest_of_many_are_those_of_a_sort(seed: int, count: int, levels: int, floor: float) -> None:
    random, ties = np.random.default_rng(seed), 3
    scores = (random.integers(-levels, levels, (4, 700)) / levels).astype(np.float32)
    barred = np.where(random.random((4, 700)) < 0.1, -np.inf, 0).astype(np.float32)
    barred[3, 10:] = -np.inf
    chosen = np.zeros((4, 700), np.bool_)
    _add_largest(chosen, scores, barred, count, ties, floor)
    for own, row in zip(chosen, scores + barred, strict=True):
        last = max(float(np.sort(row)[-count]), floor)
        above, tied = np.flatnonzero(row > last), np.flatnonzero(row == last)
        most = ties if len(above) + len(tied) > count + ties else len(tied)
        assert set(np.flatnonzero(own).tolist()) == {*above.tolist(), *tied[:most].tolist()}
