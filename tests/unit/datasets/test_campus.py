"""The simulated campus: equal seeds, equal campuses; drifting tastes; ladders; what learners can and cannot do."""

import random
from collections import Counter
from functools import partial
from itertools import pairwise

import pytest

from datasets.campus import Campus, Past, level_fit
from datasets.campus_courses import TOPICS
from datasets.campus_learners import QUARTER_TURN_DAYS
from datasets.campus_life import HISTORY_DAYS, Life, history, profiles
from datasets.campus_topics import SUBJECTS
from datasets.campus_visits import PATIENCE, Body, how_far, what_follows
from schemas.courses import Course, decode_course, encode_course
from schemas.events import CourseEvent, Enrolled, Searched, encode_event
from schemas.ids import check_id
from tests.campus_folder import DAY_ZERO

COURSES, LEARNERS = 200, 150


@pytest.fixture(scope="module")
def campus() -> Campus:
    return Campus(COURSES, LEARNERS, seed=3)


def written(seed: int) -> list[bytes]:
    campus = Campus(COURSES, LEARNERS, seed)
    courses = [encode_course(course.published(DAY_ZERO)) for course in campus.courses.values()]
    events = [*profiles(campus, DAY_ZERO), *history(Life(campus), 500, DAY_ZERO)]
    return [*courses, *map(encode_event, events)]


def test_equal_seeds_make_equal_campuses_and_histories() -> None:
    assert written(3) == written(3)
    assert written(3) != written(4)


def test_a_catalogue_reads_like_one(campus: Campus) -> None:
    courses = [course.published(DAY_ZERO) for course in campus.courses.values()]
    assert len({course.course_id for course in courses}) == COURSES
    assert {course.category for course in courses} == set(SUBJECTS)
    assert len({(course.title, course.language) for course in courses}) > 0.9 * COURSES
    assert all(course.title and course.description and course.skills for course in courses)
    for course in courses:
        topic = campus.courses[course.course_id].topic
        assert topic in course.title and topic in course.description
        assert decode_course(encode_course(course)) == course


def test_a_small_campus_has_all_subjects() -> None:
    assert {topic.subject for topic in TOPICS[: len(SUBJECTS)]} == set(SUBJECTS)
    assert {course.subject for course in Campus(24, 1, 1).courses.values()} == set(SUBJECTS)


def test_prerequisites_lead_down_a_ladder(campus: Campus) -> None:
    catalogue: dict[str, Course] = {one: course.published(DAY_ZERO) for one, course in campus.courses.items()}
    for course in campus.courses.values():
        prerequisites = catalogue[course.course_id].prerequisites
        assert len(prerequisites) == min(course.level, 1)
        for below in (campus.courses[one] for one in prerequisites):
            assert below.level == course.level - 1  # so no chain of them comes back to where it began
            assert (below.topic, below.language) == (course.topic, course.language)


def test_a_level_suits_whoever_stands_below_it(campus: Campus) -> None:
    learner = next(one for one in campus.learners.values() if not any(one.skill.values()))
    ladder = [course for course in campus.courses.values() if course.topic == "SQL" and course.edition == 0]
    fits = [level_fit(learner, Past(), course) for course in ladder]
    assert fits[0] == 1.0 and fits == sorted(fits, reverse=True)
    climbed = [level_fit(learner, Past(climbed={"SQL": 1}), course) for course in ladder]
    assert climbed[1] == 1.0 and max(climbed[0], climbed[2]) < 0.6


def test_tastes_drift_slowly(campus: Campus) -> None:
    for learner in list(campus.learners.values())[:50]:
        days = [learner.vector(day) for day in (0.0, 1.0, 30.0, QUARTER_TURN_DAYS)]
        steps = [sum(a * b for a, b in zip(days[0], later, strict=True)) for later in days]
        assert steps[0] == pytest.approx(1.0) and steps[1] > 0.999
        assert sum(value * value for value in days[2]) == pytest.approx(1.0)
    learner = next(iter(campus.learners.values()))
    before, after = campus.tastes(learner, 0.0), campus.tastes(learner, 120.0)
    assert max(abs(before[topic] - after[topic]) for topic in before) > 0.05


def test_satisfaction_and_its_best_lie_between_0_and_1(campus: Campus) -> None:
    for learner in list(campus.learners.values())[:30]:
        felt = [campus.satisfaction(learner, Past(), course, 0.0) for course in campus.active(0.0)]
        assert 0.0 <= min(felt) < max(felt) <= 1.0
        assert campus.oracle(learner, Past(), 0.0) == max(felt)


def test_the_best_within_reach_leaves_out_what_is_taken_refused_or_retired(campus: Campus) -> None:
    learner, past = next(iter(campus.learners.values())), Past()
    ranked = sorted(campus.active(0.0), key=lambda one: -campus.satisfaction(learner, past, one, 0.0))
    past.taken.add(ranked[0].course_id)
    past.refused.add(ranked[1].course_id)
    assert campus.oracle(learner, past, 0.0) == campus.satisfaction(learner, past, ranked[2], 0.0)
    assert all(course.is_active(60.0) for course in campus.choices(past, 60.0))


def test_courses_appear_and_retire(campus: Campus) -> None:
    active = [{course.course_id for course in campus.active(day)} for day in (-HISTORY_DAYS, 0.0, 60.0)]
    for earlier, later in pairwise(active):
        assert later - earlier
    assert active[0] - active[2]


def test_who_looks_further_down_is_rarer() -> None:
    dice = random.Random(1)
    reached = [how_far(10, dice) for _ in range(20_000)]
    looked = [sum(depth >= place for depth in reached) / len(reached) for place in range(1, 11)]
    assert looked[0] == 1.0
    assert all(first > second for first, second in pairwise(looked))
    assert looked[9] == pytest.approx(PATIENCE**9, abs=0.02)
    assert how_far(0, dice) == 0


@pytest.mark.parametrize("seed", range(5))
def test_nobody_takes_what_is_retired_taken_or_not_there_and_nobody_beats_the_best(seed: int) -> None:
    campus = Campus(COURSES, LEARNERS, seed)
    life, draw = Life(campus), campus.draw("test")
    for step in range(600):
        day = step / 5
        learner = life.somebody(draw)
        past = life.past(learner.user_id)
        choices = campus.choices(past, day)
        visitor = life.visitor(learner, day, draw)
        shown = draw.sample(choices, min(10, len(choices)))
        visit = draw.choice((partial(visitor.look_down, shown), visitor.search, visitor.stumble))()
        if visit.chosen:
            assert visit.chosen in choices and visit.chosen.is_active(day)
            assert visit.satisfaction <= campus.oracle(learner, past, day)
        for body in visit.bodies:
            life.happened(learner.user_id, body)


def test_the_content_finish_and_praise_what_the_discontent_drop() -> None:
    dice = random.Random(1)

    def bodies(satisfaction: float) -> list[Body]:
        return [later.body for _ in range(500) for later in what_follows("c", satisfaction, dice)]

    happy, unhappy = bodies(0.9), bodies(0.1)
    kinds, other = (Counter(body["type"] for body in one) for one in (happy, unhappy))
    assert kinds["completed"] > 2 * other["completed"]
    assert other["dropped"] > 200 and not kinds["dropped"]
    stars, others = ([body["value"] for body in one if body["type"] == "rated"] for one in (happy, unhappy))
    assert sum(stars) / len(stars) > 4 > 2.5 > sum(others) / len(others)


def test_a_history_is_of_searches_and_chance_and_has_favourites(campus: Campus) -> None:
    life = Life(campus)
    events = list(history(life, 3_000, DAY_ZERO))
    assert len(events) == len({event.event_id for event in events}) == 3_000
    moments = [event.occurred_us for event in events]
    assert moments == sorted(moments) and moments[-1] < DAY_ZERO.timestamp() * 1e6
    for event in events:
        check_id("user_id", event.user_id)
        if isinstance(event, CourseEvent):
            assert event.course_id in campus.courses
    enrolled = Counter(event.course_id for event in events if isinstance(event, Enrolled))
    top = sum(number for _, number in enrolled.most_common(COURSES // 10))
    assert top > 0.3 * enrolled.total()
    assert sum(isinstance(event, Searched) for event in events) > 300
    assert any(event.course_id in life.pasts[event.user_id].taken for event in events if isinstance(event, Enrolled))


def test_what_has_happened_counts_once_its_day_has_come(campus: Campus) -> None:
    life, draw = Life(campus), campus.draw("outcomes")
    learner = next(iter(campus.learners.values()))
    course = campus.active(0.0)[0]
    visit = life.visitor(learner, 0.0, draw).look_down([course])._replace(chosen=course, satisfaction=0.95)
    life.expect(learner.user_id, visit, 0.0, draw)
    assert life.due(0.0) is None
    bodies = []
    while due := life.due(30.0):
        assert due[0] == learner.user_id
        life.happened(*due)
        bodies.append(due[1])
    assert bodies and {body["course_id"] for body in bodies} == {course.course_id}
    life.happened(learner.user_id, {"type": "completed", "course_id": course.course_id})
    assert life.past(learner.user_id).climbed == {course.topic: course.level + 1}
