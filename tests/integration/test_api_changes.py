"""The stream of a learner's list over real parts: what it says, when, and how it ends."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from redis import Redis

from deploy.embedded import EmbeddedStack
from schemas.candidates import Source
from schemas.cards import Card
from schemas.meta import Header
from schemas.registers import Rank, pack_stamp
from tests.api_server import State, Switched, bearer, row, running_api, token, until

POPULAR = [row(f"c{number}", 1 - number / 10, Source.POPULAR) for number in range(6)]
CARDS = [Card(f"c{number}", f"Title {number}") for number in range(6)]


@pytest.fixture
def switched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Switched]:
    server = Switched(tmp_path_factory.mktemp("redis")).on()
    yield server
    server.off()


@pytest.fixture
def api(stack: EmbeddedStack, switched: Switched) -> Iterator[httpx.Client]:
    streams = "4"  # half of them for one caller
    with running_api(stack.bootstrap_servers, switched.redis_url, MAX_STREAMS=streams) as client:
        yield client


@pytest.fixture
def state(api: httpx.Client, switched: Switched) -> Iterator[State]:
    with Redis.from_url(switched.redis_url) as redis:
        state = State(redis)
        state.open_shards()
        state.write_shared(CARDS, POPULAR, epoch=time.time_ns())
        until(lambda: len(api.get("/v1/courses/popular").json()["items"]) == 6)
        yield state


class Events:
    """The events of one stream."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.iter_lines()

    def next(self) -> Any:
        """Return the next event's JSON; StopIteration at the stream's end."""
        line = next(self._lines)
        while not line.startswith("data: "):
            line = next(self._lines)
        return json.loads(line.removeprefix("data: "))

    def next_ids(self) -> list[str]:
        """Return the courses of the next event."""
        return [item["course_id"] for item in self.next()["items"]]


@contextmanager
def following(api: httpx.Client, user_id: str, headers: dict[str, str] | None = None, **query: Any) -> Iterator[Events]:
    """Follow a learner."""
    with api.stream("GET", f"/v1/learners/{user_id}/changes", headers=headers, params=query) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Events(answer)


def test_the_list_stands_first_and_comes_again_when_it_changes(api: httpx.Client, state: State) -> None:
    with following(api, "ann", limit=3) as events:
        first = events.next()
        assert [item["course_id"] for item in first["items"]] == ["c0", "c1", "c2"]
        answer = api.get("/v1/learners/ann/recommendations", params={"limit": 3}).json()
        moving = {"age_s": None, "lag": None}
        assert first | moving == answer | moving
        position = api.post("/v1/learners/ann/courses/c1/enrol").json()["position"]
        assert events.next_ids() == ["c0", "c2", "c3"]  # at once: it is acknowledged
        offset = int(position.rpartition(":")[2])
        state.write_learner("ann", {}, Header(offset))
        state.write_list("ann", [row("c5", 0.9)], offset)
        state.notify("bob", "ann")
        published = events.next()
        assert published["items"][0]["course_id"] == "c5"
        assert published["state_version"] == position


def test_nothing_is_said_without_a_change_and_parameters_are_those_of_the_list(api: httpx.Client, state: State) -> None:
    state.write_list("ann", [row("c1", 0.9), row("c2", 0.1)])
    with following(api, "ann", bearer("ann", "learner"), limit=2, strategy="content") as events:
        assert events.next_ids() == ["c2", "c1"]
        state.notify("ann")
        state.set_applied("ann", 7)  # of others
        state.notify("ann")
        state.write_list("ann", [row("c4", 0.9), row("c2", 0.1)], 8)
        state.notify("ann")
        assert events.next_ids() == ["c2", "c4"]
    assert api.get("/v1/learners/ann/changes", params={"limit": 0}).status_code == 422


def test_it_goes_on_when_redis_comes_back_with_other_lists(api: httpx.Client, state: State, switched: Switched) -> None:
    with following(api, "ann", limit=1) as events:
        assert events.next_ids() == ["c0"]
        switched.off()
        away = events.next()
        assert (away["degraded"], away["items"][0]["course_id"]) == (True, "c0")
        switched.on()
        state.open_shards()
        state.write_list("ann", [row("c3", 0.9)])
        back = events.next()
        while back["degraded"] or back["items"][0]["course_id"] != "c3":
            back = events.next()


def test_it_ends_with_the_token(api: httpx.Client, state: State) -> None:
    short = {"Authorization": f"Bearer {token(ttl_s=8)}"}
    with following(api, "ann", short) as events:
        events.next()
        with pytest.raises(StopIteration):
            events.next()
    assert api.get("/v1/learners/ann/changes", headers=short).status_code == 401


def test_streams_are_bounded_and_a_client_that_goes_makes_room(api: httpx.Client, state: State) -> None:
    with following(api, "ann") as one, following(api, "bob") as two:
        one.next(), two.next()
        refused = api.get("/v1/learners/eve/changes")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")

    def is_open() -> bool:
        with api.stream("GET", "/v1/learners/eve/changes") as answer:
            return answer.status_code == 200

    until(is_open, 5)


def test_the_api_stops_in_spite_of_open_streams(stack: EmbeddedStack, switched: Switched) -> None:
    with httpx.Client() as reader:
        with running_api(stack.bootstrap_servers, switched.redis_url) as api:
            path = f"{api.base_url}/v1/learners/ann/changes"
            request = reader.build_request("GET", path, headers=bearer())
            answer = reader.send(request, stream=True)
            assert answer.status_code == 200
        lines = list(answer.iter_lines())  # ended: what is cut off after the time of grace raises an error here
        assert lines[0].startswith("data: ")
        answer.close()


def test_learners_and_titles_are_found(api: httpx.Client, state: State) -> None:
    assert api.get("/v1/learners").json() == {"learners": []}
    for offset, user_id in enumerate(("ann", "bob", "a/ü")):
        state.redis.zadd(state.keys(user_id).learners, {user_id: offset})
        state.write_learner(user_id, {"c1": pack_stamp(1, Rank.ENROLLED, "e")}, Header(offset))
    for offset in range(40):  # more than are looked at at once
        state.redis.zadd(state.keys(f"erased{offset}").learners, {f"erased{offset}": 1_000 + offset})
        state.write_learner(f"erased{offset}", {}, Header(1_000 + offset, -1, 5, 1_000 + offset))
    assert {one["user_id"] for one in api.get("/v1/learners").json()["learners"]} == {"ann", "bob", "a/ü"}
    found = api.get("/v1/learners", params={"limit": 2}).json()["learners"]
    assert len(found) == 2
    assert {one["user_id"] for one in found} < {"ann", "bob", "a/ü"}
    titles = api.get("/v1/courses", params={"title": "tit 3"}).json()["items"]
    assert [(one["course_id"], one["title"]) for one in titles] == [("c3", "Title 3")]
    assert api.get("/v1/courses").status_code == 422
