"""Courses by predicted grade over HTTP: of a learner's own grades, and of a grade sheet that nobody keeps."""

import json
import time
from collections.abc import Iterator
from typing import Any, Final

import httpx
import numpy as np
import pytest
from redis import Redis

from deploy.embedded import EmbeddedStack
from recommender.fold import FoldedLearner
from recommender.grades import Grader, pack_grades, sheet_of
from schemas.cards import Card
from schemas.events import Completed, Enrolled, Graded, LearnerEvent
from schemas.keys import SHARED_GRADES, SHARED_META
from schemas.meta import Header
from tests.api_server import State, bearer, row, running_api, until
from tests.models import grades_net
from tests.servers import running_redis

IDS: Final = tuple(f"c{i:02d}" for i in range(20))
CARDS: Final = [Card(one, f"Title {one}", language="en" if int(one[1:]) % 2 else "de") for one in IDS]
INDEX: Final = {course_id: place for place, course_id in enumerate(IDS)}
NETS: Final = {epoch: grades_net(len(IDS), seed=epoch) for epoch in (1, 2)}
MINE: Final = [("c03", 0.9), ("c07", 0.25), ("c11", 0.6)]


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server.redis_url


@pytest.fixture(scope="module")
def api(stack: EmbeddedStack, redis_url: str) -> Iterator[httpx.Client]:
    with running_api(stack.bootstrap_servers, redis_url) as client:
        yield client


def write_model(redis: Redis, epoch: int) -> None:
    fields: dict[Any, Any] = {"epoch": str(epoch), "model": pack_grades(IDS, NETS[epoch])}
    redis.hset(SHARED_GRADES, mapping=fields)


@pytest.fixture
def state(api: httpx.Client, redis_url: str) -> Iterator[State]:
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
        state = State(redis)
        state.open_shards(applied=100)
        state.write_shared(CARDS, [row(one, 0.5) for one in IDS], epoch=time.time_ns())
        write_model(redis, 1)
        until(lambda: len(api.get("/v1/courses/popular").json()["items"]) == 10)
        yield state


def write_history(state: State, user_id: str, graded: list[tuple[str, float]]) -> None:
    """Write the grades a minute apart, on a scale of 1 to 5, as the stream would."""
    learner = FoldedLearner()
    for minute, (course_id, grade) in enumerate(graded):
        about: dict[str, Any] = {"user_id": user_id, "course_id": course_id, "occurred_at": 60 * minute + 60}
        events: list[LearnerEvent] = [
            Enrolled(event_id=f"e{minute}", **about),
            Graded(event_id=f"g{minute}", value=1 + 4 * grade, scale="1-5", **about),
        ]
        for event in events:
            learner.apply(event, 10**12)
    state.write_learner(user_id, learner.records, Header(learner_offset=5))


def expected(epoch: int, graded: list[tuple[str, float]]) -> list[tuple[str, Any]]:
    """Return what is not taken by predicted grade; the answer's grades are rounded."""
    predicted = Grader(NETS[epoch]).predict(sheet_of(graded, INDEX))
    taken = {course_id for course_id, _ in graded}
    order = [IDS[place] for place in np.argsort(-predicted, kind="stable") if IDS[place] not in taken]
    return [(course_id, pytest.approx(float(predicted[INDEX[course_id]]), abs=2e-6)) for course_id in order]


def asked(api: httpx.Client, user_id: str, **query: Any) -> dict[str, Any]:
    query = {"strategy": "grades", "limit": 20, **query}
    answer = api.get(f"/v1/learners/{user_id}/recommendations", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def sent(api: httpx.Client, sheet: Any, **query: Any) -> httpx.Response:
    return api.post("/v1/grades/recommendations", json=sheet, params={"limit": 20, **query})


def pairs(answer: dict[str, Any]) -> list[tuple[str, float]]:
    return [(item["course_id"], item["predicted_grade"]) for item in answer["items"]]


def sheet(graded: list[tuple[str, float]]) -> list[dict[str, Any]]:
    return [{"course_id": course_id, "grade": 100 * grade} for course_id, grade in graded]


def test_a_learners_list_is_what_is_not_taken_by_predicted_grade(api: httpx.Client, state: State) -> None:
    write_history(state, "ann", MINE)
    answer = asked(api, "ann")
    assert pairs(answer) == expected(1, MINE)
    assert (answer["strategy"], answer["degraded"]) == ("grades", False)
    first = answer["items"][0]
    assert first["title"] == f"Title {first['course_id']}"
    assert first["reasons"][0]["text"] == f"Predicted grade: {100 * first['predicted_grade']:.0f} %"


def test_a_sheet_is_answered_as_a_history_with_the_same_grades(api: httpx.Client, state: State) -> None:
    write_history(state, "ann", MINE)
    answer = sent(api, sheet(MINE)).json()
    assert pairs(answer) == pairs(asked(api, "ann"))
    other = [{"course_id": course_id, "grade": 1 + 9 * grade, "scale": "1-10"} for course_id, grade in MINE]
    assert pairs(sent(api, other).json()) == pairs(answer)


def test_nothing_of_a_sheet_is_stored(api: httpx.Client, state: State) -> None:
    before = {key: state.redis.dump(key) for key in state.redis.scan_iter()}
    assert sent(api, sheet(MINE)).status_code == 200
    assert {key: state.redis.dump(key) for key in state.redis.scan_iter()} == before


def test_filters_hold_and_only_other_strategies_lack_a_grade(api: httpx.Client, state: State) -> None:
    write_history(state, "ann", MINE)
    english = {card.course_id for card in CARDS if card.language == "en"}
    wanted = [pair for pair in expected(1, MINE) if pair[0] in english]
    assert pairs(asked(api, "ann", language="en", limit=5)) == wanted[:5]
    assert pairs(sent(api, sheet(MINE), language="en", limit=5).json()) == wanted[:5]
    assert all("predicted_grade" not in item for item in asked(api, "ann", strategy="popular")["items"])


def test_who_has_no_grades_gets_the_courses_that_go_well_for_all(api: httpx.Client, state: State) -> None:
    learner = FoldedLearner()
    learner.apply(Completed(event_id="e", user_id="bob", course_id="c05", occurred_at=5), 10**12)
    state.write_learner("bob", learner.records, Header(learner_offset=5))
    assert pairs(asked(api, "bob")) == [pair for pair in expected(1, []) if pair[0] != "c05"]
    assert pairs(sent(api, []).json()) == expected(1, [])


def test_courses_the_model_does_not_know_are_named(api: httpx.Client, state: State) -> None:
    answer = sent(api, [*sheet(MINE), {"course_id": "nowhere", "grade": 5}]).json()
    assert (pairs(answer), answer["unknown"]) == (expected(1, MINE), ["nowhere"])


def test_of_two_grades_in_a_course_the_last_counts(api: httpx.Client, state: State) -> None:
    assert pairs(sent(api, [*sheet([("c03", 0.1)]), *sheet(MINE)]).json()) == expected(1, MINE)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"course_id": "c03"}, "Expected `array`"),
        ([{"course_id": "c03"}], "missing required field `grade`"),
        ([{"course_id": "c03", "grade": "A"}], "Expected `float`, got `str`"),
        ([{"course_id": "", "grade": 1}], "length >= 1"),
        ([{"course_id": "c03", "grade": 101}], "0.grade: 101 is off the scale 0-100"),
        ([{"course_id": "c03", "grade": 1}, {"course_id": "c04", "grade": 1, "scale": "A-F"}], "1.scale: scale 'A-F'"),
        ([{"course_id": "c03", "grade": 1}] * 1_001, "1001 grades, more than 1000"),
    ],
)
def test_a_sheet_that_is_wrong_is_refused_and_says_where(api: httpx.Client, state: State, body: Any, said: str) -> None:
    answer = sent(api, body)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


def test_a_body_that_is_no_json_is_refused(api: httpx.Client, state: State) -> None:
    for content in (b"", b"{", b"[" * 100_000, b"\xff"):
        answer = api.post("/v1/grades/recommendations", content=content)
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


def test_another_model_is_followed_and_none_is_a_problem_that_says_so(api: httpx.Client, state: State) -> None:
    write_history(state, "ann", MINE)
    assert pairs(asked(api, "ann")) == expected(1, MINE)
    write_model(state.redis, 2)
    assert pairs(asked(api, "ann")) == expected(2, MINE)
    state.redis.delete(SHARED_GRADES)
    for answer in (
        api.get("/v1/learners/ann/recommendations", params={"strategy": "grades"}),
        sent(api, sheet(MINE)),
    ):
        assert answer.status_code == 404
        assert "predicts no grades" in answer.json()["detail"]


def test_a_state_that_is_not_whole_is_degraded_and_not_gone_by(api: httpx.Client, state: State) -> None:
    write_history(state, "ann", MINE)
    state.open_shards(applied=100, status="building")
    until(lambda: asked(api, "ann")["degraded"])
    taken = {course_id for course_id, _ in MINE}
    assert pairs(asked(api, "ann")) == [pair for pair in expected(1, []) if pair[0] not in taken]


def test_a_follower_hears_of_the_next_grade(api: httpx.Client, state: State) -> None:
    def next_pairs(lines: Iterator[str]) -> list[tuple[str, float]]:
        return pairs(json.loads(next(one for one in lines if one.startswith("data: ")).removeprefix("data: ")))

    write_history(state, "ann", MINE[:2])
    with api.stream("GET", "/v1/learners/ann/changes", params={"strategy": "grades", "limit": 20}) as answer:
        lines = answer.iter_lines()
        assert next_pairs(lines) == expected(1, MINE[:2])
        state.notify("ann")  # nothing has changed: nothing is said
        write_history(state, "ann", MINE)
        state.notify("ann")
        assert next_pairs(lines) == expected(1, MINE)


def test_an_emptied_redis_leaves_the_model_that_stood_last(api: httpx.Client, state: State) -> None:
    assert pairs(sent(api, sheet(MINE)).json()) == expected(1, MINE)
    state.redis.delete(SHARED_GRADES, SHARED_META)
    assert pairs(sent(api, sheet(MINE)).json()) == expected(1, MINE)


def test_a_learner_may_send_a_sheet_and_a_publisher_may_not(api: httpx.Client, state: State) -> None:
    statuses = {
        scope: api.post("/v1/grades/recommendations", json=sheet(MINE), headers=bearer("me", scope)).status_code
        for scope in ("learner", "reader", "publisher")
    }
    assert statuses == {"learner": 200, "reader": 200, "publisher": 403}
