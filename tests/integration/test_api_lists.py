"""Reading a list over HTTP: strategies, filters, prerequisites, diversity, places for new courses, reasons."""

import random
import time
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest
from redis import Redis

from api.lists import draw_of
from deploy.embedded import EmbeddedStack
from recommender.fold import FoldedLearner
from schemas.candidates import Candidate, Source, Version
from schemas.cards import Card
from schemas.events import Completed, Dropped, Enrolled, LearnerEvent
from schemas.meta import Header
from schemas.pending import Pending, pack_pending
from schemas.registers import Rank
from tests.api_server import State, row, running_api, until
from tests.servers import running_redis

SUBJECTS: Final = [random.Random(subject).randbytes(32) for subject in range(3)]
CARDS: Final = [
    Card(
        f"c{i:02d}",
        f"Title {i}",
        category="Design" if i % 2 else "Law",
        language="en" if i % 4 < 2 else "DE" if i == 6 else "de",
        level="beginner" if i < 20 else "",
        prerequisites=("c01",) if i in (5, 21) else ("c01", "c02") if i == 6 else (),
        sketch=SUBJECTS[i % 3],
    )
    for i in range(30)
]
IDS: Final = [card.course_id for card in CARDS]


def _popular(place: int, trend: float = 0.0) -> Candidate:
    score = max(1 - place / 10, 0)
    return Candidate(IDS[place], score, (0.0, 0.0, 0.0, score, trend), Source.POPULAR, None)


POPULAR: Final = [_popular(place) for place in range(30)]
OWN: Final = [row(IDS[20 + i], 10 - i, cause=0 if i < 2 else None) for i in range(8)]
NEW: Final = [row(IDS[28], 0.5, Source.NEW), row(IDS[29], 0.25, Source.NEW)]


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server.redis_url


@pytest.fixture(scope="module")
def api(stack: EmbeddedStack, redis_url: str) -> Iterator[httpx.Client]:
    with running_api(stack.bootstrap_servers, redis_url) as client:
        yield client


@pytest.fixture
def state(api: httpx.Client, redis_url: str) -> Iterator[State]:
    """Shards live and empty, the shared lists written and seen."""
    with Redis.from_url(redis_url) as redis:
        redis.flushall()
        state = State(redis)
        state.open_shards(applied=100)
        state.write_shared(CARDS, POPULAR, epoch=time.time_ns())
        until(lambda: len(api.get("/v1/courses/popular", params={"limit": 30}).json()["items"]) == 30)
        yield state


def asked(api: httpx.Client, user_id: str = "ann", **query: Any) -> list[dict[str, Any]]:
    answer = api.get(f"/v1/learners/{user_id}/recommendations", params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def ids(items: list[dict[str, Any]]) -> list[str]:
    return [item["course_id"] for item in items]


def happened(state: State, *events: LearnerEvent, user_id: str = "ann") -> None:
    folded = FoldedLearner()
    for event in events:
        folded.apply(event, 10**6)
    state.write_learner(user_id, folded.records, Header(1))


def about(course_id: str, kind: type[Any] = Enrolled, at: int = 60) -> LearnerEvent:
    event: LearnerEvent = kind(event_id=f"{course_id} {at}", user_id="ann", course_id=course_id, occurred_at=at)
    return event


def test_the_popular_strategy_shows_the_most_popular_courses_not_taken(api: httpx.Client, state: State) -> None:
    happened(state, about("c01"))
    state.write_list("ann", OWN)
    found = asked(api, strategy="popular", limit=9)
    assert ids(found)[:8] == ["c00", *IDS[2:9]]  # not one of them is in the own list
    assert {item["reasons"][0]["kind"] for item in found} == {"popular"}
    assert not any(item["topped_up"] for item in found)
    assert [item["score"] for item in found] == sorted((item["score"] for item in found), reverse=True)


def test_who_has_no_list_gets_the_one_for_the_unknown_then_what_is_popular(api: httpx.Client, state: State) -> None:
    state.write_cold([POPULAR[5], POPULAR[2]])
    state.write_shared(CARDS, POPULAR, epoch=time.time_ns())
    until(lambda: ids(asked(api, "nobody", limit=4)) == ["c05", "c02", "c00", "c01"])
    assert {item["reasons"][0]["text"] for item in asked(api, "nobody", limit=4)} == {"Popular with learners"}
    assert ids(asked(api, "nobody", strategy="popular", limit=3)) == ["c00", "c01", "c02"]
    state.write_list("ann", OWN)
    assert ids(asked(api, category="design", limit=8))[4:] == ["c01", "c03", "c05", "c07"]


def test_trending_shows_what_trends_before_what_is_popular(api: httpx.Client, state: State) -> None:
    state.write_list("ann", [*OWN, Candidate("c27", 0.1, (0.0, 0.0, 0.0, 0.1, 0.9), Source.COLLABORATIVE, None)])
    trending = [Candidate("c09", 1.0, (0.0, 0.0, 0.0, 0.1, 1.0), Source.TRENDING, None)]
    state.write_shared(CARDS, trending, epoch=time.time_ns())
    until(lambda: ids(asked(api, strategy="trending", limit=2)) == ["c09", "c27"])
    assert [item["reasons"][0]["kind"] for item in asked(api, strategy="trending", limit=3)] == [
        "trending", "trending", "popular",
    ]  # fmt: skip


def test_what_fills_a_short_list_is_marked_and_says_where_it_is_popular(api: httpx.Client, state: State) -> None:
    state.write_list("ann", OWN)
    found = asked(api, category="design", limit=8)
    assert ids(found) == ["c21", "c23", "c25", "c27", "c01", "c03", "c05", "c07"]
    assert [item["topped_up"] for item in found] == [False] * 4 + [True] * 4
    assert {(one["kind"], one["text"], one["course_id"]) for item in found[4:] for one in item["reasons"]} == {
        ("popular", "Popular in Design", None)
    }
    texts = [asked(api, limit=1, **{name: value})[0]["reasons"][0]["text"] for name, value in (
        ("language", "EN"), ("level", "Beginner"), ("category", "law"),
    )]  # fmt: skip
    assert texts[1] == "Popular at level beginner"
    assert "Popular" not in texts[0] + texts[2]  # these stand in the own list


def test_a_learner_nobody_knows_gets_the_list_of_the_language_asked_for(api: httpx.Client, state: State) -> None:
    found = asked(api, "nobody", language="DE", limit=3)
    assert ids(found) == ["c02", "c03", "c06"]
    assert all(item["topped_up"] for item in found)
    assert [item["reasons"][0]["text"] for item in found] == ["Popular in de"] * 2 + ["Popular in DE"]
    assert ids(asked(api, "nobody", language="de", category="Law", limit=2)) == ["c02", "c06"]


@pytest.mark.parametrize(
    ("events", "shown"),
    [
        ([], {"c22"}),
        ([about("c01")], {"c22"}),  # enrolled is not completed
        ([about("c01"), about("c01", Completed, 70)], {"c05", "c21", "c22"}),
        ([about("c01"), about("c01", Completed, 70), about("c01", Dropped, 80)], {"c22"}),
        ([about(one, Completed) for one in ("c01", "c02")], {"c05", "c06", "c21", "c22"}),
    ],
)
def test_prerequisites_are_met_by_completed_courses(
    api: httpx.Client, state: State, events: list[LearnerEvent], shown: set[str]
) -> None:
    happened(state, *events)
    state.write_list("ann", OWN)
    watched = {"c05", "c06", "c21", "c22"}
    assert watched & set(ids(asked(api, prerequisites="met", limit=100))) == shown
    assert watched <= set(ids(asked(api, prerequisites="any", limit=100)))


def test_a_completion_counts_from_its_acknowledgement_on(api: httpx.Client, state: State) -> None:
    state.write_list("ann", OWN)
    pending = state.keys("ann").pending("ann")
    state.redis.hset(pending, "c01", pack_pending(Pending(101, Rank.COMPLETED)))
    assert "c21" in ids(asked(api, prerequisites="met"))
    state.redis.hset(pending, "c01", pack_pending(Pending(102, Rank.DROPPED)))
    assert "c21" not in ids(asked(api, prerequisites="met"))


def test_diversity_mixes_subjects(api: httpx.Client, state: State) -> None:
    same, other = [IDS[i] for i in range(0, 30, 3)], IDS[1]
    state.write_list("ann", [row(one, 20 - place) for place, one in enumerate([*same[:6], other])])
    assert ids(asked(api, limit=3)) == same[:3]
    assert ids(asked(api, limit=3, diversity=0)) == same[:3]
    assert ids(asked(api, limit=3, diversity=0.9)) == [same[0], other, same[1]]
    assert set(ids(asked(api, limit=7, diversity=1))) == {*same[:6], other}


def users_who_explore(wanted: bool) -> Iterator[str]:
    """Yield learners whose list of ten, as `State` writes it, has a place for a new course, or has none."""
    for number in range(100):
        explores = draw_of(f"explorer{number}", Version(-1, 0, 0, -1)) >= 2**63
        if explores == wanted:
            yield f"explorer{number}"


LONG: Final = [row(one, 30.0 - place) for place, one in enumerate(IDS[:28])]


def test_the_last_place_of_every_second_list_goes_to_a_new_course(api: httpx.Client, state: State) -> None:
    seen = set()
    for user_id, _ in zip(users_who_explore(True), range(8), strict=False):
        state.write_list(user_id, [*LONG, *NEW])
        found = asked(api, user_id)
        assert ids(found)[:9] == IDS[:9]
        assert found == asked(api, user_id)  # a reload shows the same
        assert found[9]["reasons"] == [
            {"kind": "new", "course_id": None, "text": "New in the catalogue", "event_ids": []}
        ]
        assert not found[9]["topped_up"]
        seen.add(found[9]["course_id"])
        for other in ({"explore": "false"}, {"strategy": "collaborative"}, {"strategy": "popular"}, {"limit": 1}):
            assert not {"c28", "c29"} & set(ids(asked(api, user_id, **other)))
        state.write_list(user_id, LONG)
        assert ids(asked(api, user_id)) == IDS[:10]
    assert seen == {"c28", "c29"}
    unmoved = next(users_who_explore(False))
    state.write_list(unmoved, [*LONG, *NEW])
    assert ids(asked(api, unmoved)) == IDS[:10]


def causes(api: httpx.Client) -> list[str | None]:
    return [item["reasons"][0]["course_id"] for item in asked(api, limit=3)]


def test_only_a_cause_that_still_counts_is_named(api: httpx.Client, state: State) -> None:
    state.write_list("ann", OWN, causes=("c01",))
    happened(state, about("c01"))
    assert causes(api) == ["c01", "c01", None]
    state.redis.hset(state.keys("ann").pending("ann"), "c01", pack_pending(Pending(101, Rank.DROPPED)))
    assert causes(api) == [None, None, None]
    state.redis.delete(state.keys("ann").pending("ann"))
    happened(state, about("c01"), about("c01", Dropped, 70))
    assert causes(api) == [None, None, None]
    happened(state, about("c01"), about("c01", Dropped, 70), about("c01", at=80))
    assert causes(api) == ["c01", "c01", None]
    state.redis.delete(state.keys("ann").history("ann"))  # erased
    assert causes(api) == [None, None, None]
    first = asked(api, limit=1)[0]["reasons"][0]
    assert (first["kind"], first["event_ids"], "Title" in first["text"]) == ("collaborative", [], False)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("diversity", ["nan", "inf", "-inf", "-0.1", "1.1", "x", "", "1e400", "0,5"]),
        ("prerequisites", ["foo", "", "MET", "met ", "true", "1"]),
        ("explore", ["perhaps", "", "2", "null"]),
        ("limit", ["0", "-1", "101", "1.5", "ten", "", "9" * 400]),
        ("strategy", ["magic", "", "Hybrid", "hybrid,popular"]),
        ("wait_ms", ["-1", "x"]),
        ("after", ["nowhere", "learner-events:0", "learner-events:0:x"]),
        ("language", ["", "x" * 201]),
        ("level", ["", "x" * 201]),
        ("category", ["", "x" * 201]),
    ],
)
def test_hostile_parameters_are_problems_that_name_the_field(api: httpx.Client, name: str, values: list[str]) -> None:
    for value in values:
        answer = api.get("/v1/learners/ann/recommendations", params={name: value})
        assert answer.status_code == 422, (name, value)
        assert answer.headers["content-type"] == "application/problem+json"
        assert name in [error["field"] for error in answer.json()["errors"]]
