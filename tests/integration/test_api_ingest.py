"""Ingest over HTTP: what stands in Kafka after a 202, what malformed requests are told, what happens without Kafka."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from aiokafka import ConsumerRecord, TopicPartition
from redis import Redis

from adapters.kafka import end_offsets, open_reader, read_range, shard_of
from adapters.redis import MOST_CONNECTIONS
from deploy.embedded import EmbeddedStack, embedded
from schemas.courses import decode_course
from schemas.events import decode_event, to_microseconds
from schemas.meta import Header
from schemas.topics import ACTIVITY, COURSES, LEARNER_EVENTS, Position
from tests.api_server import PARTITIONS, State, bearer, running_api, until

EVENT: dict[str, Any] = {
    "type": "enrolled", "event_id": "e1", "user_id": "u", "course_id": "c", "occurred_at": "2026-01-01T00:00:00Z",
}  # fmt: skip


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """A stack of its own: its Kafka is stopped."""
    with embedded(tmp_path_factory.mktemp("ingest"), partitions=PARTITIONS) as running:
        yield running


@pytest.fixture(scope="module")
def api(stack: EmbeddedStack) -> Iterator[httpx.Client]:
    with running_api(stack.bootstrap_servers, stack.redis_url) as client:
        yield client


def record_at(stack: EmbeddedStack, position: Position) -> ConsumerRecord:
    async def read() -> ConsumerRecord:
        async with open_reader(stack.bootstrap_servers) as reader:
            place = TopicPartition(position.topic, position.partition)
            async for records, _ in read_range(reader, place, position.offset, position.offset + 1):
                for record in records:
                    return record
        raise AssertionError(f"nothing stands at {position}")

    return asyncio.run(read())


def log_size(stack: EmbeddedStack) -> int:
    async def read() -> int:
        async with open_reader(stack.bootstrap_servers) as reader:
            return sum([sum((await end_offsets(reader, topic)).values()) for topic in (LEARNER_EVENTS, ACTIVITY)])

    return asyncio.run(read())


def test_an_accepted_event_stands_where_the_answer_says(api: httpx.Client, stack: EmbeddedStack) -> None:
    answer = api.post("/v1/events", json=EVENT)
    assert answer.status_code == 202
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (1, [])
    record = record_at(stack, Position.parse(answer.json()["position"]))
    assert (record.key, record.partition) == (b"u", shard_of("u", PARTITIONS))
    assert decode_event(record.value).event_id == "e1"


def test_what_an_erasure_covers_is_kept_and_named(api: httpx.Client, stack: EmbeddedStack) -> None:
    through = datetime(2026, 1, 1, 12, tzinfo=UTC)
    with Redis.from_url(stack.redis_url) as redis:
        State(redis).write_learner("gone", {}, Header(5, -1, to_microseconds(through), 5))
    moments = (through - timedelta(days=1), through, through + timedelta(microseconds=1))
    gone = [{**EVENT, "user_id": "gone", "event_id": str(at), "occurred_at": at.isoformat()} for at in moments]
    answer = api.post("/v1/events", json={"events": [EVENT, {"type": "zapped"}, *gone]})
    assert (answer.status_code, answer.json()["accepted"]) == (202, 4)
    assert answer.json()["erased"] == [
        {"index": place, "erased_through": "2026-01-01T12:00:00.000000Z"} for place in (2, 3)
    ]


def test_an_erasure_says_through_when_it_deletes(api: httpx.Client, stack: EmbeddedStack) -> None:
    answer = api.delete("/v1/learners/a%2Fü", headers=bearer("a/ü", "learner"))
    assert answer.status_code == 202, answer.text
    record = record_at(stack, Position.parse(answer.json()["position"]))
    assert decode_event(record.value).type_name == "erased" and record.key == "a/ü".encode()
    through = datetime.fromisoformat(answer.json()["erased_through"])
    assert to_microseconds(through) == (record.timestamp + 300_000) * 1_000


def test_a_batch_is_kept_in_both_topics_and_says_what_it_rejects(api: httpx.Client, stack: EmbeddedStack) -> None:
    users = [f"user-{number}" for number in range(20)]
    viewed = {**EVENT, "type": "viewed", "user_id": users[0]}
    events = [{**EVENT, "user_id": user_id} for user_id in users]
    before = log_size(stack)
    answer = api.post("/v1/events", json={"events": [*events, viewed, {**EVENT, "type": "zapped"}, 7]}).json()
    assert answer["accepted"] == 21
    assert [(one["index"], one["field"]) for one in answer["rejected"]] == [(21, "type"), (22, "")]
    assert set(answer["rejected"][0]) >= {"index", "type", "detail"}
    assert log_size(stack) == before + 21
    positions = [Position.parse(one) for one in answer["position"].split(",")]
    shards = {shard_of(user_id, PARTITIONS) for user_id in users}
    assert {(one.topic, one.partition) for one in positions} == {
        *((LEARNER_EVENTS, shard) for shard in shards),
        (ACTIVITY, shard_of(users[0], PARTITIONS)),
    }


@pytest.mark.parametrize(
    ("action", "body", "type_name"),
    [
        ("enrol", None, "enrolled"),
        ("drop", {}, "dropped"),
        ("progress", {"value": 0.25}, "progressed"),
        ("rating", {"value": 8, "scale": "0-10", "review": "gut"}, "rated"),
        ("feedback", {"value": "not_for_me"}, "feedback"),
    ],
)
def test_short_forms_publish_the_same_events(
    api: httpx.Client, stack: EmbeddedStack, action: str, body: Any, type_name: str
) -> None:
    path = f"/v1/learners/a%2Fb/courses/c%201/{action}"
    headers = {**bearer("a/b", "learner"), "Idempotency-Key": action}
    first, again = (api.post(path, json=body, headers=headers).json()["position"] for _ in range(2))
    events = [decode_event(record_at(stack, Position.parse(one)).value) for one in (first, again)]
    assert {(event.type_name, event.user_id, getattr(event, "course_id", "")) for event in events} == {
        (type_name, "a/b", "c 1")
    }
    assert first != again
    assert events[0].event_id == events[1].event_id
    assert abs(events[0].occurred_us / 1e6 - datetime.now(UTC).timestamp()) < 60
    for name, value in (body or {}).items():
        assert getattr(events[0], name) == value


@pytest.mark.parametrize(
    ("content", "status", "named"),
    [
        (b"no JSON", 400, "JSON"),
        (b"", 400, "JSON"),
        (b"[]", 422, ""),
        ({**EVENT, "course_id": None}, 422, "course_id"),
        ({name: value for name, value in EVENT.items() if name != "user_id"}, 422, "user_id"),
        ({**EVENT, "type": "zapped"}, 422, "type"),
        ({**EVENT, "type": "progressed", "value": 1.7}, 422, "value"),
        ({**EVENT, "type": "rated", "value": 6}, 422, "value"),
        ({**EVENT, "occurred_at": "2026-01-01T00:00:00"}, 422, "occurred_at"),
        ({**EVENT, "occurred_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}, 422, "occurred_at"),
        ({**EVENT, "user_id": "a\0b"}, 422, "user_id"),
        ({**EVENT, "course_id": "x" * 10_000}, 422, "course_id"),
        ({"events": [{**EVENT, "user_id": ""}, {}]}, 422, "user_id"),
        ({"events": []}, 422, "events"),
        (b"x" * 10_000_000, 413, "larger"),
    ],
)
def test_malformed_requests_are_told_why(
    api: httpx.Client, stack: EmbeddedStack, content: Any, status: int, named: str
) -> None:
    sent = {"content": content} if isinstance(content, bytes) else {"json": content}
    answer = api.post("/v1/events", **sent)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    problem = answer.json()
    assert problem["status"] == status
    assert named in problem["detail"]
    assert len(answer.content) < 2_000


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        (f"/v1/learners/{'x' * 10_000}/recommendations", 422, "user_id"),
        ("/v1/learners/a%00b", 422, "user_id"),
        ("/v1/courses/a%00b", 422, "course_id"),
        ("/v1/learners/u/recommendations?limit=0", 422, "limit"),
        ("/v1/learners/u/recommendations?limit=101", 422, "limit"),
        ("/v1/learners/u/recommendations?strategy=magic", 422, "strategy"),
        ("/v1/learners/u/recommendations?after=here", 422, "after"),
        ("/v1/nowhere", 404, ""),
        ("/v1/events", 405, ""),
    ],
)
def test_wrong_paths_and_queries_are_problems(api: httpx.Client, path: str, status: int, field: str) -> None:
    answer = api.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    if field:
        assert [one["field"] for one in answer.json()["errors"]] == [field]


def test_a_course_is_put_and_retired(api: httpx.Client, stack: EmbeddedStack) -> None:
    answer = api.put("/v1/courses/new%2F1", json={"title": "New", "language": "en", "price": 3})
    assert answer.status_code == 202
    offset = int(answer.json()["position"].removeprefix("courses:0:"))
    record = record_at(stack, Position(COURSES, 0, offset))
    assert (record.key, decode_course(record.value).title) == (b"new/1", "New")
    for body, field in (({"course_id": "other"}, "course_id"), ({"price": -1}, "price"), ({"title": 7}, "title")):
        refused = api.put("/v1/courses/new%2F1", json=body)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, field)
    answer = api.delete("/v1/courses/new%2F1")
    offset = int(answer.json()["position"].removeprefix("courses:0:"))
    assert decode_course(record_at(stack, Position(COURSES, 0, offset)).value).retired


@pytest.mark.parametrize("fast_lane", ["true", "false"])
def test_writes_that_wait_for_redis_hold_up_no_reader(stack: EmbeddedStack, fast_lane: str) -> None:
    """More events wait to be noted than a client may open connections; a look-up of each way is answered meanwhile."""
    many, connections = 2 * MOST_CONNECTIONS, 1 if fast_lane == "true" else MOST_CONNECTIONS
    events = [{**EVENT, "event_id": f"waits{number}", "user_id": f"waits{number}"} for number in range(many)]
    with (
        running_api(stack.bootstrap_servers, stack.redis_url, FAST_LANE=fast_lane, INGEST_TIMEOUT_S="60") as api,
        httpx.Client(headers=bearer(), timeout=60, limits=httpx.Limits(max_connections=many)) as writer,
        Redis.from_url(stack.redis_url) as redis,
        ThreadPoolExecutor(many) as threads,
    ):
        redis.execute_command("CLIENT", "PAUSE", 120_000, "WRITE")
        try:
            waiting = [threads.submit(writer.post, f"{api.base_url}/v1/events", json=event) for event in events]
            until(lambda: redis.info("clients")["blocked_clients"] >= connections)
            for explore in ("true", "false"):  # the second goes by the ordinary route alone
                assert api.get("/v1/learners/u/recommendations", params={"explore": explore}).status_code == 200
            assert not any(one.done() for one in waiting)
        finally:
            redis.execute_command("CLIENT", "UNPAUSE")
        assert {one.result().status_code for one in waiting} == {202}


def test_without_kafka_nothing_is_promised_and_lists_are_still_read(api: httpx.Client, stack: EmbeddedStack) -> None:
    os.kill(stack.pids["kafka"], signal.SIGSTOP)
    try:
        refused = api.post("/v1/events", json=EVENT)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert api.get("/v1/learners/u/recommendations").status_code == 200
        until(lambda: "kafka" in api.get("/readyz").json().get("missing", []))
    finally:
        os.kill(stack.pids["kafka"], signal.SIGCONT)
    until(lambda: api.post("/v1/events", json=EVENT).status_code == 202)
    until(lambda: api.get("/readyz").status_code == 200)


def test_it_starts_without_redis(stack: EmbeddedStack) -> None:
    with running_api(stack.bootstrap_servers, "redis://127.0.0.1:9/0") as api:
        assert api.get("/v1/learners/u/recommendations").status_code == 503
        assert api.get("/v1/courses/popular").json()["degraded"]
        assert api.get("/readyz").json()["missing"] == ["redis"]


def test_it_refuses_to_start_without_a_way_to_verify_tokens() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("JWT_SECRET", "JWKS_URL")}
    ended = subprocess.run((sys.executable, "-m", "api"), env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "JWT_SECRET" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_it_can_be_stopped_while_it_waits_for_kafka() -> None:
    environment = {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9", "JWT_SECRET": "x" * 32}
    process = subprocess.Popen((sys.executable, "-m", "api"), env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    until(lambda: "does not answer yet" in (process.stderr.readline() if process.stderr else ""))
    process.terminate()
    assert process.wait(10) == 0
    process.stderr.close()
