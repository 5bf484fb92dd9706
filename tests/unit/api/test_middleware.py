"""What happens around requests: a body in pieces, slashes within ids, templates in metrics."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request

from api.intake import LEAST_BYTES, Intake
from api.metrics import Metrics
from api.middleware import KeepSlashes, LimitBody, LimitWriting, Observe
from api.parameters import CourseId, UserId
from api.problems import install_problems

LIMIT = 100
BODY_TIMEOUT_S = 0.2


def application(metrics: Metrics, intake: Intake) -> FastAPI:
    app = FastAPI()
    install_problems(app)

    @app.post("/bodies")
    async def size(request: Request) -> int:
        return len(await request.body())

    @app.get("/learners/{user_id}/courses/{course_id}")
    async def ids(user_id: UserId, course_id: CourseId) -> list[str]:
        return [user_id, course_id]

    @app.get("/failing")
    async def failing() -> None:
        raise RuntimeError("a bug")

    app.add_middleware(LimitWriting, intake=intake, max_body_bytes=LIMIT, body_timeout_s=BODY_TIMEOUT_S)
    app.add_middleware(LimitBody, max_body_bytes=LIMIT)
    app.add_middleware(Observe, metrics=metrics)
    app.add_middleware(KeepSlashes)
    return app


def client(metrics: Metrics | None = None, intake: Intake | None = None) -> httpx.AsyncClient:
    app = application(metrics or Metrics(), intake or Intake(1_000_000))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


async def pieces(number: int) -> AsyncIterator[bytes]:
    for _ in range(number):
        yield b"x" * 10


async def test_a_body_is_limited_whether_announced_or_in_pieces() -> None:
    async with client() as http:
        assert (await http.post("/bodies", content=b"x" * LIMIT)).json() == LIMIT
        assert (await http.post("/bodies", content=pieces(10))).json() == LIMIT
        for content in (b"x" * (LIMIT + 1), pieces(11)):
            answer = await http.post("/bodies", content=content)
            assert answer.status_code == 413
            assert answer.headers["content-type"] == "application/problem+json"


async def never_ending() -> AsyncIterator[bytes]:
    yield b"x"
    await asyncio.Event().wait()


async def test_a_body_that_stalls_is_given_up_and_its_room_is_free_again() -> None:
    intake = Intake(1_000_000)
    async with client(intake=intake) as http:
        answer = await http.post("/bodies", content=never_ending())
    assert (answer.status_code, answer.headers["content-type"]) == (408, "application/problem+json")
    assert intake.bytes_under_way == 0


async def test_what_is_too_much_is_refused_unread_and_reading_is_not() -> None:
    metrics, now_s = Metrics(), [50.0]
    intake = Intake(4 * LEAST_BYTES, clock=lambda: now_s[0])
    asked_for: list[bytes] = []

    async def body() -> AsyncIterator[bytes]:
        asked_for.append(b"x")
        yield b"x"

    metrics.watch_intake(intake)
    async with client(metrics, intake) as http:
        with intake.under_way(b"a", 5), intake.under_way(b"a", 5), intake.under_way(b"b", 2 * LEAST_BYTES):
            now_s[0] += 6.5
            answer = await http.post("/bodies", content=body())
            assert (answer.status_code, answer.headers["retry-after"], asked_for) == (503, "7", [])
            assert (await http.get("/learners/u/courses/c")).status_code == 200
            text = metrics.text().decode()
            assert (
                f"coursestream_ingest_bytes {4.0 * LEAST_BYTES}" in text and "coursestream_ingest_refused 1.0" in text
            )
        assert (await http.post("/bodies", content=b"x")).json() == 1


def test_a_flood_of_refusals_is_no_flood_of_lines(caplog: pytest.LogCaptureFixture) -> None:
    now_s = [50.0]
    intake = Intake(2 * LEAST_BYTES, clock=lambda: now_s[0])
    for _ in range(1_000):
        assert intake.refusal(b"a", 2 * LEAST_BYTES) is not None
        now_s[0] += 1 / 128
    assert [record.args and record.args[0] for record in caplog.records] == [1, 641]  # type: ignore[index]


async def test_a_refusal_is_no_line_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    async with client(intake=Intake(0)) as http:
        assert (await http.post("/bodies", content=b"x")).status_code == 503
        assert (await http.get("/failing")).status_code == 500
    assert [record.args[2] for record in caplog.records if record.name == "api.middleware"] == [500]  # type: ignore[index]


def test_one_caller_may_hold_half() -> None:
    intake = Intake(4 * LEAST_BYTES)
    with intake.under_way(b"a", 1), intake.under_way(b"a", 1):
        assert intake.refusal(b"a", 1) is not None
        assert intake.refusal(b"b", 2 * LEAST_BYTES) is None
        assert intake.refusal(b"b", 2 * LEAST_BYTES + 1) is not None
    assert intake.refusal(b"a", 1) is None


async def test_ids_come_back_as_they_were_sent() -> None:
    async with client() as http:
        for user_id, escaped in (("a/b", "a%2Fb"), ("a%2Fb", "a%252Fb"), ("é ü+1", "%C3%A9%20%C3%BC+1"), ("/", "%2f")):
            assert (await http.get(f"/learners/{escaped}/courses/c%2F1")).json() == [user_id, "c/1"]


async def test_an_id_that_can_be_none_is_named() -> None:
    async with client() as http:
        for bad in ("a%00b", "a%0Ab", "x" * 10_000, "%C3%A9" * 200):
            answer = await http.get(f"/learners/u/courses/{bad}")
            assert answer.status_code == 422
            assert answer.json()["errors"][0]["field"] == "course_id"
            assert len(answer.content) < 1_000


async def test_requests_are_counted_by_template_and_bugs_are_problems() -> None:
    metrics = Metrics()
    async with client(metrics) as http:
        await http.get("/learners/secret/courses/c")
        failed = await http.get("/failing")
        await http.get("/nowhere/secret")
        await http.put("/bodies")
    assert failed.status_code == 500
    assert failed.headers["content-type"] == "application/problem+json"
    text = metrics.text().decode()
    assert "secret" not in text
    for route, status in (("/learners/{user_id}/courses/{course_id}", 200), ("/failing", 500), ("unmatched", 404)):
        assert f'coursestream_http_requests_total{{method="GET",route="{route}",status="{status}"}} 1.0' in text
    assert 'method="PUT",route="/bodies",status="405"' in text
