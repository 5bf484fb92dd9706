"""Learners as they stand at one moment of a data set."""

from recommender.fold import FoldedLearner
from schemas.events import AnyEvent, Clicked, Dropped, Enrolled, Erased, Feedback, Searched, Viewed
from tests.unit.trainer.campus import checkerboard, enrolled
from trainer.cases import popularity_before
from trainer.interactions import interactions_of
from trainer.population import Population


def test_learners_are_those_that_the_stream_would_fold() -> None:
    events = sorted(checkerboard(learners=10), key=lambda event: event.occurred_us)
    population, folded = Population(), {f"u{i}": FoldedLearner() for i in range(10)}
    for event in events:
        assert population.learner(event.user_id) == folded[event.user_id].learner()
        population.apply(event)
        folded[event.user_id].apply(event, 0)


def test_popularity_is_that_of_current_enrolments() -> None:
    events = sorted(checkerboard(learners=10), key=lambda event: event.occurred_us)
    population = Population()
    for event in events:
        population.apply(event)
    by_learner = sorted(events, key=lambda event: event.user_id)
    assert population.popularity() == popularity_before(interactions_of(by_learner), events[-1].occurred_us + 1)


def test_a_drop_and_an_erasure_take_their_enrolment_out_of_popularity() -> None:
    population = Population()
    for user_id in ("u1", "u2", "u3"):
        population.apply(enrolled(user_id, "c", 0))
    population.apply(Dropped(event_id="d", user_id="u1", course_id="c", occurred_at=1_700_000_100))
    population.apply(Erased(event_id="e", user_id="u2", occurred_at=1_700_000_100))
    assert population.popularity().popular == {"c": 1.0}
    population.apply(Dropped(event_id="f", user_id="u3", course_id="c", occurred_at=1_700_000_100))
    assert population.popularity().popular == {}


def test_weak_signals_reach_the_learner_and_only_hidden_courses_are_refused() -> None:
    population = Population()
    moment = 1_700_000_000
    weak: list[AnyEvent] = [
        Viewed(event_id="1", user_id="u", course_id="v", occurred_at=moment),
        Clicked(event_id="2", user_id="u", course_id="c", occurred_at=moment),
        Searched(event_id="3", user_id="u", query="sql", occurred_at=moment),
        Searched(event_id="4", user_id="u", query="excel", occurred_at=moment),
    ]
    for event in weak:
        population.apply(event)
    population.apply(Feedback(event_id="5", user_id="u", course_id="f", value="useful", occurred_at=moment))
    learner = population.learner("u")
    assert {course for course, _ in learner.signals} == {"v", "c"}
    assert set(learner.queries) == {"sql", "excel"}
    assert learner.refused == learner.taken == frozenset()
    assert population.learner("u", hide_seen=True).refused == {"v", "c", "f"}


def test_a_learner_once_looked_at_stays_as_he_was() -> None:
    population = Population()
    before = population.learner("u")
    population.apply(Enrolled(event_id="1", user_id="u", course_id="c", occurred_at=1_700_000_000))
    assert before.taken == frozenset()
    assert population.learner("u").taken == {"c"}
