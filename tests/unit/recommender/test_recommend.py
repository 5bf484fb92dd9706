"""Lists from a model whose answer is known, and from the edges of what can come in."""

from collections.abc import Callable

import numpy as np
import pytest

from recommender.content import fit_text
from recommender.history import Entry, Learner, Profile
from recommender.model import Model
from recommender.popularity import Popularity, popularity_of
from recommender.recommend import Recommendation, Recommender, prepare
from schemas.candidates import CandidateList, Source, Version, pack_candidates, unpack_candidates
from schemas.courses import Course

Enrol = Callable[..., Learner]


def ids(found: Recommendation) -> list[str]:
    """Return the ids of a list."""
    return [candidate.course_id for candidate in found.candidates]


def test_learners_get_the_courses_of_their_own_group(recommender: Recommender, enrolled_in: Enrol) -> None:
    of_a, of_b = recommender.recommend([enrolled_in("a1", "a2"), enrolled_in("b3")], limit=20)
    assert {course_id[0] for course_id in ids(of_a)[:6]} == {"a"}
    assert {course_id[0] for course_id in ids(of_b)[:7]} == {"b"}
    assert len(of_a.candidates) == 14
    assert len(of_b.candidates) == 15
    assert not {"a1", "a2"} & set(ids(of_a))


def test_causes_are_courses_of_the_same_group(recommender: Recommender, enrolled_in: Enrol) -> None:
    learner = enrolled_in("a1", "b3", "b4", "a2")
    [found] = recommender.recommend([learner], limit=12)
    caused = [candidate for candidate in found.candidates if candidate.cause is not None]
    assert caused
    for candidate in caused:
        assert candidate.cause is not None
        cause = found.causes[candidate.cause]
        assert cause[0] == candidate.course_id[0]
        assert cause in learner.taken


def test_removing_the_cause_lowers_the_score(recommender: Recommender, enrolled_in: Enrol) -> None:
    history = ["b3", "a1", "b4", "a2", "b5"]
    [found] = recommender.recommend([enrolled_in(*history)], limit=16)
    caused = [candidate for candidate in found.candidates if candidate.cause is not None]
    assert {candidate.course_id[0] for candidate in caused} >= {"b"}
    for candidate in caused:
        assert candidate.cause is not None
        cause = found.causes[candidate.cause]
        [without] = recommender.recommend([enrolled_in(*(c for c in history if c != cause))], limit=16)
        [less] = [other for other in without.candidates if other.course_id == candidate.course_id]
        assert less.components[0] < candidate.components[0]
        assert less.components[1] < candidate.components[1]
        assert less.components[2] < candidate.components[2]


def test_a_batch_equals_its_learners_one_by_one(model_of: Callable[..., Model], enrolled_in: Enrol) -> None:
    model = model_of(n=60)
    recommender = Recommender(prepare(model), {}, popularity_of({"c01": {1: 1}, "c02": {5: 9}}))
    learners = [
        enrolled_in("c05", "c09", "c33"),
        Learner(),
        enrolled_in("nobody knows", "c01"),
        Learner(profile=Profile(interests=("sql",))),
        Learner(signals=(("c07", 0.1),)),
    ]
    together = recommender.recommend(learners, limit=20)
    for learner, batched in zip(learners, together, strict=True):
        [alone] = recommender.recommend([learner], limit=20)
        assert ids(alone) == ids(batched)
        assert alone.causes == batched.causes
        np.testing.assert_allclose(
            [one.score for one in alone.candidates], [one.score for one in batched.candidates], atol=1e-4
        )
        assert [one.cause for one in alone.candidates] == [one.cause for one in batched.candidates]


def test_more_learners_than_a_batch(
    recommender: Recommender, enrolled_in: Enrol, monkeypatch: pytest.MonkeyPatch
) -> None:
    learners = [enrolled_in("a1"), enrolled_in("b1", "b2"), Learner(), enrolled_in("a5"), enrolled_in("b6")]
    whole, scored = recommender.recommend(learners, limit=5), recommender.components(learners, limit=5)
    monkeypatch.setattr("recommender.recommend.BATCH", 2)
    assert [ids(found) for found in recommender.recommend(learners, limit=5)] == [ids(found) for found in whole]
    parts = recommender.components(learners, limit=5)
    np.testing.assert_array_equal(parts.rows, scored.rows)
    np.testing.assert_array_equal(parts.courses, scored.courses)
    np.testing.assert_allclose(parts.z, scored.z, atol=1e-5)


def test_nothing_known_gives_the_popular_list(recommender: Recommender, enrolled_in: Enrol) -> None:
    for learner in (Learner(), enrolled_in("unheard of")):
        [found] = recommender.recommend([learner], limit=5)
        assert ids(found) == ["b7", "b6", "b5", "b4", "b3"]
        assert {candidate.source for candidate in found.candidates} == {Source.POPULAR}
        assert found.causes == ()


def test_declared_languages_come_first(recommender: Recommender) -> None:
    [found] = recommender.recommend([Learner(profile=Profile(languages=("EN",)))], limit=10)
    assert ids(found) == ["a7", "a6", "a5", "a4", "a3", "a2", "a1", "a0", "b7", "b6"]
    scores = [candidate.score for candidate in found.candidates]
    assert scores == sorted(scores, reverse=True)


def test_interests_are_matched_by_content(recommender: Recommender) -> None:
    learners = [Learner(profile=Profile(interests=("SQL",))), Learner(queries=("Recht und Gesetz",))]
    sql, law = recommender.recommend(learners, limit=8)
    assert {course_id[0] for course_id in ids(sql)} == {"a"}
    assert {course_id[0] for course_id in ids(law)} == {"b"}
    assert sql.candidates[0].source == Source.INTERESTS
    assert sql.candidates[0].cause is None


def test_weak_signals_move_a_learner_without_history(recommender: Recommender) -> None:
    [found] = recommender.recommend([Learner(signals=(("a3", 0.1),))], limit=5)
    assert {course_id[0] for course_id in ids(found)} == {"a"}
    assert found.causes == ()


def test_refused_and_retired_courses_are_left_out(
    checkerboard: Model, catalogue: dict[str, Course], enrolled_in: Enrol
) -> None:
    retired = {**catalogue, "a5": Course(course_id="a5", retired=True)}
    recommender = Recommender(prepare(checkerboard), retired, Popularity())
    learner = enrolled_in("a1")
    refusing = Learner(learner.entries, learner.taken, frozenset({"a2"}))
    [found] = recommender.recommend([refusing], limit=100)
    assert set(ids(found)) == set(catalogue) - {"a1", "a2", "a5"}


def test_a_new_course_enters_by_content(checkerboard: Model, catalogue: dict[str, Course], enrolled_in: Enrol) -> None:
    new = {"new-a": Course(course_id="new-a", title="sql query"), "new-b": Course(course_id="new-b", title="recht")}
    recommender = Recommender(prepare(checkerboard), {**catalogue, **new}, Popularity())
    [found] = recommender.recommend([enrolled_in("a1")], limit=18)
    assert ids(found).index("new-a") < ids(found).index("new-b")
    assert ids(found).index("new-a") < min(ids(found).index(f"b{i}") for i in range(8))
    [after] = recommender.recommend([enrolled_in("new-b")], limit=18)
    assert ids(after)[0][0] == "b"
    assert after.candidates[0].cause is not None


def test_useful_feedback_is_no_cause_of_itself(recommender: Recommender) -> None:
    learner = Learner((Entry("a3", 0.25, 1, bytes(16)),))
    [found] = recommender.recommend([learner], limit=16)
    assert "a3" in ids(found)
    assert found.causes == ()


def test_bootstrap_model_recommends_by_content(
    checkerboard: Model, catalogue: dict[str, Course], enrolled_in: Enrol
) -> None:
    bootstrap = Model(checkerboard.course_ids, checkerboard.text)
    recommender = Recommender(prepare(bootstrap), catalogue, popularity_of({"b0": {1: 5}}))
    [found] = recommender.recommend([enrolled_in("a1")], limit=8)
    assert {course_id[0] for course_id in ids(found)[:6]} == {"a"}
    assert found.candidates[0].source == Source.CONTENT
    assert found.causes[0] == "a1"
    assert found.embedding.shape == (0,)


def test_edges_of_the_catalogue(checkerboard: Model, catalogue: dict[str, Course], enrolled_in: Enrol) -> None:
    everything = Recommender(prepare(checkerboard), catalogue, Popularity())
    [found] = everything.recommend([enrolled_in(*catalogue)])
    assert found.candidates == ()
    assert everything.recommend([]) == []
    nothing = Recommender(prepare(Model((), fit_text([]))), {}, Popularity())
    assert nothing.recommend([enrolled_in("a1"), Learner()])[0].candidates == ()
    single = Recommender(prepare(Model(("c",), fit_text(["sql"]))), {}, Popularity())
    assert ids(single.recommend([Learner()])[0]) == ["c"]
    assert single.recommend([enrolled_in("c")])[0].candidates == ()
    textless = Recommender(prepare(Model(("c", "d"), fit_text(["", ""]))), {}, Popularity())
    assert ids(textless.recommend([enrolled_in("c")])[0]) == ["d"]
    grown = Recommender(prepare(Model((), fit_text([]))), catalogue, Popularity())
    assert len(grown.recommend([enrolled_in("a1")])[0].candidates) == 15


def test_all_zero_vectors_and_negative_histories_give_finite_lists(
    checkerboard: Model, catalogue: dict[str, Course]
) -> None:
    recommender = Recommender(prepare(checkerboard), catalogue, Popularity())
    learner = Learner((Entry("a1", -0.5, 1, bytes(16)),), refused=frozenset({"a1"}))
    [found] = recommender.recommend([learner], limit=15)
    assert len(found.candidates) == 15
    assert np.isfinite([one.score for one in found.candidates]).all()
    assert ids(found)[0][0] == "b"


def test_lists_are_sorted_packable_and_the_same_every_time(model_of: Callable[..., Model], enrolled_in: Enrol) -> None:
    recommender = Recommender(prepare(model_of(n=300)), {}, Popularity())
    learner = enrolled_in(*(f"c{i}" for i in range(100, 140)))
    [found], [again] = (recommender.recommend([learner]) for _ in range(2))
    assert found.candidates == again.candidates
    scores = [candidate.score for candidate in found.candidates]
    assert scores == sorted(scores, reverse=True)
    packed = pack_candidates(CandidateList(Version(0, 0, 0, 0), 0, found.causes, found.candidates))
    assert [one.course_id for one in unpack_candidates(packed).candidates] == ids(found)


def test_fresher_popularity_keeps_the_rest(recommender: Recommender) -> None:
    fresher = recommender.with_popularity(popularity_of({"a4": {1: 9}}))
    assert fresher.universe is recommender.universe
    assert ids(fresher.recommend([Learner()], limit=1)[0]) == ["a4"]
    assert ids(recommender.recommend([Learner()], limit=1)[0]) == ["b7"]


def test_components_are_what_the_list_was_ranked_by(recommender: Recommender, enrolled_in: Enrol) -> None:
    learners = [enrolled_in("a1"), enrolled_in("b1", "b2")]
    scored = recommender.components(learners, limit=10)
    weights = recommender.universe.prepared.model.blend.rows(scored.lengths)
    totals = (scored.z * weights[scored.rows]).sum(axis=1)
    for row, found in enumerate(recommender.recommend(learners, limit=10)):
        mine = scored.rows == row
        by_id = dict(zip((recommender.course_ids[c] for c in scored.courses[mine]), totals[mine], strict=True))
        for candidate in found.candidates:
            assert candidate.score == pytest.approx(by_id[candidate.course_id], abs=1e-5)


@pytest.mark.parametrize("limit", [0, 251])
def test_limits_that_cannot_be_packed_are_refused(recommender: Recommender, limit: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        recommender.recommend([Learner()], limit=limit)


def test_scores_of_the_whole_catalogue_are_those_of_a_list_that_holds_it(
    recommender: Recommender, enrolled_in: Enrol
) -> None:
    learners = [enrolled_in("a1", "a2"), Learner(), Learner(refused=frozenset({"b3"}))] * 30  # more than one batch
    scores = recommender.scores(learners)
    assert scores.shape == (90, len(recommender.course_ids))
    for row, found in zip(scores, recommender.recommend(learners, limit=100), strict=True):
        listed = {candidate.course_id: candidate.score for candidate in found.candidates}
        assert dict(zip(recommender.course_ids, row.tolist(), strict=True)) == pytest.approx(
            {course_id: listed.get(course_id, -np.inf) for course_id in recommender.course_ids}
        )
    assert recommender.scores([]).shape == (0, len(recommender.course_ids))
