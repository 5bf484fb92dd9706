"""The API over real parts: what the stream would write into Redis is read, filtered, awaited, and done without."""

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from redis import Redis

from adapters.follow import append_control
from adapters.kafka import shard_of
from deploy.embedded import EmbeddedStack, embedded
from recommender.fold import FoldedLearner
from schemas.candidates import Source
from schemas.cards import Card
from schemas.control import ModelPromoted, ModelPublished
from schemas.embedding import pack_embedding
from schemas.events import Enrolled, Rated
from schemas.meta import Header
from schemas.registers import FEEDBACK_CODES, Rank, pack_stamp
from schemas.topics import LEARNER_EVENTS, Position
from tests.api_server import PARTITIONS, State, Switched, bearer, row, running_api, until

COURSES = [f"c{number}" for number in range(10)]
CARDS = [
    Card(one, f"Title {one}", language="English" if number % 2 else "French") for number, one in enumerate(COURSES)
]
POPULAR = [row(course_id, 1 - number / 10, Source.POPULAR) for number, course_id in enumerate(COURSES)]
OWN = [row("c7", 0.75, cause=0), row("c3", 0.5), row("c5", 0.25, Source.CONTENT)]
EVENT_ID = "00000000-0000-0000-0000-000000000007"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """A stack of its own: a model is promoted in it."""
    with embedded(tmp_path_factory.mktemp("api"), partitions=PARTITIONS) as running:
        yield running


@pytest.fixture(scope="module")
def model_epoch(stack: EmbeddedStack) -> int:
    records = ModelPublished(version="m1", digest="0" * 64), ModelPromoted(version="m1")
    return asyncio.run(append_control(stack.bootstrap_servers, *records))


@pytest.fixture(scope="module")
def switched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Switched]:
    server = Switched(tmp_path_factory.mktemp("redis")).on()
    yield server
    server.off()


@pytest.fixture(scope="module")
def api(stack: EmbeddedStack, switched: Switched, model_epoch: int) -> Iterator[httpx.Client]:
    with running_api(stack.bootstrap_servers, switched.redis_url) as client:
        yield client


@pytest.fixture
def state(api: httpx.Client, switched: Switched, model_epoch: int) -> Iterator[State]:
    """Shards live and empty, the shared lists written and seen."""
    with Redis.from_url(switched.redis_url) as redis:
        redis.flushall()
        state = State(redis, model_epoch)
        state.open_shards()
        state.write_shared(CARDS, POPULAR, epoch=time.time_ns())
        until(lambda: shown(api.get("/v1/courses/popular")) == COURSES)
        yield state


def shown(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["course_id"] for item in answer.json()["items"]]


def recommended(api: httpx.Client, user_id: str, **query: Any) -> dict[str, Any]:
    answer = api.get(f"/v1/learners/{user_id}/recommendations", params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return {**body, "ids": [item["course_id"] for item in body["items"]]}


def enrol(api: httpx.Client, user_id: str, course_id: str) -> Position:
    answer = api.post(f"/v1/learners/{user_id}/courses/{course_id}/enrol")
    assert answer.status_code == 202, answer.text
    return Position.parse(answer.json()["position"])


def take(state: State, user_id: str, course_id: str, offset: int = 0) -> None:
    event = Enrolled(event_id=EVENT_ID, user_id=user_id, course_id=course_id, occurred_at=60)
    folded = FoldedLearner()
    folded.apply(event, 10**6)
    state.write_learner(user_id, folded.records, Header(offset))


def test_a_learner_without_a_list_gets_the_popular_one(api: httpx.Client, state: State) -> None:
    answer = recommended(api, "nobody", limit=4)
    assert answer["ids"] == COURSES[:4]
    assert answer["items"][0]["reasons"] == [
        {"kind": "popular", "course_id": None, "text": "Popular with learners", "event_ids": []}
    ]
    assert (answer["user_id"], answer["strategy"], answer["degraded"]) == ("nobody", "hybrid", False)
    assert (answer["model_version"], answer["state_version"]) == ("m1", "")
    assert 0 <= answer["age_s"] < 30


def test_a_learner_with_a_list_gets_it_with_reasons(api: httpx.Client, state: State) -> None:
    take(state, "ann", "c1", offset=5)
    state.set_applied("ann", 5)
    state.write_list("ann", OWN, offset=5, causes=("c1",))
    answer = recommended(api, "ann", limit=3)
    assert [(item["course_id"], item["title"], item["score"]) for item in answer["items"]] == [
        ("c7", "Title c7", 0.75), ("c3", "Title c3", 0.5), ("c5", "Title c5", 0.25),
    ]  # fmt: skip
    assert answer["items"][0]["reasons"] == [
        {"kind": "collaborative", "course_id": "c1", "text": "Because you took Title c1", "event_ids": [EVENT_ID]}
    ]
    assert answer["state_version"] == f"learner-events:{shard_of('ann', PARTITIONS)}:5"
    assert answer["model_version"] == "m1"
    assert answer["generated_at"].endswith("Z")


def test_strategies_and_filters_are_a_resort_and_short_lists_are_topped_up(api: httpx.Client, state: State) -> None:
    take(state, "ann", "c0")
    state.write_list("ann", OWN)
    assert recommended(api, "ann", limit=3, strategy="content")["ids"] == ["c5", "c3", "c7"]
    assert recommended(api, "ann", limit=5)["ids"] == ["c7", "c3", "c5", "c1", "c2"]
    assert recommended(api, "ann", language="french")["ids"] == ["c2", "c4", "c6", "c8"]
    assert recommended(api, "ann", language="Klingon")["ids"] == []
    assert len(recommended(api, "ann", limit=100)["ids"]) == 9


def test_refused_and_retired_courses_are_never_shown(api: httpx.Client, state: State) -> None:
    state.write_list("ann", OWN)
    refused = pack_stamp(1, Rank.FEEDBACK, "e") + bytes([FEEDBACK_CODES["not_for_me"]])
    state.redis.hset(state.keys("ann").feedback("ann"), "c7", refused)
    retired = [Card("c3", retired=True), Card("c0", retired=True)]
    state.write_shared(retired, POPULAR, epoch=time.time_ns())
    until(lambda: recommended(api, "ann")["ids"] == ["c5", "c1", "c2", "c4", "c6", "c8", "c9"])


def test_a_course_just_taken_never_appears_again(api: httpx.Client, state: State) -> None:
    state.write_list("ann", OWN)
    position = enrol(api, "ann", "c7")
    assert (position.topic, position.partition) == (LEARNER_EVENTS, shard_of("ann", PARTITIONS))
    assert "c7" not in recommended(api, "ann", limit=100)["ids"]
    courses = api.get("/v1/learners/ann").json()["courses"]
    assert [(one["course_id"], one["title"], one["status"]) for one in courses] == [("c7", "Title c7", "enrolled")]
    assert api.post("/v1/learners/ann/courses/c3/feedback", json={"value": "not_for_me"}).status_code == 202
    assert recommended(api, "ann", limit=1)["ids"] == ["c5"]
    state.set_applied("ann", position.offset)  # merged: the history would hold it now
    assert "c7" in recommended(api, "ann", limit=100)["ids"]


def test_after_waits_until_the_list_includes_the_position(api: httpx.Client, state: State) -> None:
    state.write_list("ann", OWN, offset=0)
    position = enrol(api, "ann", "c7")

    def refresh() -> None:
        take(state, "ann", "c7", position.offset)
        state.set_applied("ann", position.offset)
        state.write_list("ann", [row("c9", 1.0)], position.offset)

    timer = threading.Timer(0.3, refresh)
    timer.start()
    started = time.monotonic()
    answer = recommended(api, "ann", limit=1, after=position, wait_ms=5_000)
    timer.join()
    assert answer["ids"] == ["c9"]
    assert 0.25 < time.monotonic() - started < 2
    assert answer["state_version"] == str(position)


def test_waiting_is_bounded(api: httpx.Client, state: State) -> None:
    state.write_list("ann", OWN, offset=0)
    later = Position(LEARNER_EVENTS, shard_of("ann", PARTITIONS), 10**9)
    started = time.monotonic()
    assert recommended(api, "ann", limit=1, after=later, wait_ms=200)["ids"] == ["c7"]
    assert 0.2 <= time.monotonic() - started < 1
    assert recommended(api, "ann", after=Position(LEARNER_EVENTS, (later.partition + 1) % PARTITIONS, 10**9))
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("status", ["", "building"])
def test_a_shard_that_is_not_whole_degrades(api: httpx.Client, state: State, status: str) -> None:
    take(state, "ann", "c0")
    state.write_list("ann", OWN)
    state.redis.delete(state.keys("ann").meta)
    if status:
        state.open_shards(status=status)
    answer = recommended(api, "ann")
    assert answer["degraded"]
    assert answer["ids"] == COURSES[1:]
    page = api.get("/v1/learners/ann").json()
    assert (page["courses"], page["degraded"]) == ([], True)


def test_an_emptied_redis_still_answers(api: httpx.Client, state: State) -> None:
    state.redis.flushall()
    time.sleep(0.3)
    answer = recommended(api, "ann")
    assert (answer["ids"], answer["degraded"]) == (COURSES, True)


def test_without_redis_the_last_known_list_is_served_and_nothing_is_promised(
    api: httpx.Client, state: State, switched: Switched
) -> None:
    switched.off()
    answer = recommended(api, "ann", limit=3)
    assert (answer["ids"], answer["degraded"], answer["lag"]) == (COURSES[:3], True, None)
    assert answer["items"][0]["title"] == "Title c0"
    refused = api.post("/v1/learners/ann/courses/c1/enrol")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert refused.headers["content-type"] == "application/problem+json"
    assert api.get("/v1/learners/ann").status_code == 503
    ready = api.get("/readyz")
    assert (ready.status_code, ready.json()["missing"]) == (503, ["redis"])
    assert "coursestream_degraded_answers_total" in api.get("/metrics").text
    switched.on()
    until(lambda: api.get("/readyz").status_code == 200)
    enrol(api, "ann", "c1")


def test_the_dashboard_shows_what_the_registers_hold(api: httpx.Client, state: State) -> None:
    folded = FoldedLearner()
    folded.apply(Enrolled(event_id="e", user_id="ann", course_id="c2", occurred_at=60), 10**6)
    folded.apply(Rated(event_id="r", user_id="ann", course_id="c4", occurred_at=90, value=3), 10**6)
    state.write_learner("ann", folded.records, Header(8, 3))
    until(lambda: not recommended(api, "ann")["degraded"])
    page = api.get("/v1/learners/ann", headers=bearer("ann", "learner")).json()
    assert page["user_id"] == "ann"
    assert [(one["course_id"], one["status"], one["rating"]) for one in page["courses"]] == [
        ("c4", "enrolled", 3.0),
        ("c2", "enrolled", None),
    ]
    assert page["courses"][1]["enrolled_at"] == "1970-01-01T00:01:00.000000Z"
    shard = shard_of("ann", PARTITIONS)
    assert page["state_version"] == f"learner-events:{shard}:8,activity:{shard}:3"


def test_the_dashboard_shows_nothing_of_a_state_that_lacks_what_was_acknowledged(
    api: httpx.Client, state: State
) -> None:
    def page() -> tuple[list[str], bool]:
        answer = api.get("/v1/learners/set-back").json()
        return [one["course_id"] for one in answer["courses"]], answer["degraded"]

    position = enrol(api, "set-back", "c1")
    take(state, "set-back", "c2", position.offset)
    state.set_applied("set-back", position.offset)
    until(lambda: page() == (["c2"], False))
    time.sleep(0.5)  # the API looks each .1 s where shards stand; it is to have seen this one
    state.redis.hset(state.keys("set-back").meta, mapping={"applied": position.offset - 1, "nonce": "1" * 32})
    until(lambda: page()[1])
    assert page() == (["c1"], True), "what was acknowledged stands beside"
    state.set_applied("set-back", position.offset)
    until(lambda: page() == (["c2"], False))


def test_lag_is_what_the_log_has_beyond_applied(api: httpx.Client, state: State) -> None:
    position = enrol(api, "lagging", "c1")
    state.set_applied("lagging", position.offset - 1)
    until(lambda: recommended(api, "lagging")["lag"] == 1)
    state.set_applied("lagging", position.offset)
    assert recommended(api, "lagging")["lag"] == 0
    until(lambda: f'coursestream_shard_lag{{shard="{position.partition}"}} 0.0' in api.get("/metrics").text)


def test_an_embedding_is_read(api: httpx.Client, state: State, model_epoch: int) -> None:
    assert api.get("/v1/learners/ann/embedding").status_code == 404
    state.redis.set(state.keys("ann").embedding("ann"), pack_embedding(model_epoch, [0.5, -1.0]))
    assert api.get("/v1/learners/ann/embedding").json() == {
        "user_id": "ann", "model_version": "m1", "dimensions": 2, "embedding": [0.5, -1.0],
    }  # fmt: skip


def test_courses_and_similar_courses(api: httpx.Client, state: State) -> None:
    found = api.get("/v1/courses/c3").json()
    assert (found["title"], found["language"], found["retired"], found["degraded"]) == (
        "Title c3",
        "English",
        False,
        False,
    )
    assert api.get("/v1/courses/none").status_code == 404
    assert shown(api.get("/v1/courses/c0/similar", params={"limit": 2})) == ["c1", "c2"]
    assert shown(api.get("/v1/courses/c5/similar")) == []
    assert api.get("/v1/courses/none/similar").status_code == 404
    for kind in ("popular", "trending", "latest"):
        assert shown(api.get(f"/v1/courses/{kind}", params={"language": "english", "limit": 2})) == ["c1", "c3"]
