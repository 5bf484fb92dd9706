"""The authorisation matrix: every route by every kind of caller; a route without an entry fails here."""

from collections.abc import Iterator
from typing import Final

import httpx
import pytest
from redis import Redis

from deploy.embedded import EmbeddedStack
from schemas.cards import Card
from tests.api_server import State, bearer, row, running_api, token
from tests.servers import running_redis

ME: Final = "matrix-learner"
CALLERS: Final = {
    "learner himself": (ME, "learner"),
    "another learner": ("matrix-other", "learner"),
    "his id, no scope": (ME, ""),
    "publisher": ("app", "publisher"),
    "reader": ("app", "reader"),
    "operator": ("app", "operator"),
    "admin": ("app", "admin"),
}
HIMSELF: Final = {"learner himself"}
LEARNERS: Final = HIMSELF | {"another learner"}
CATALOGUE: Final = LEARNERS | {"reader", "operator", "admin"}
_TAKE: Final = "/v1/learners/{user_id}/courses/{course_id}/"
MATRIX: Final = {
    ("POST", "/v1/events"): HIMSELF | {"publisher"},
    ("POST", _TAKE + "enrol"): HIMSELF | {"publisher"},
    ("POST", _TAKE + "drop"): HIMSELF | {"publisher"},
    ("POST", _TAKE + "progress"): HIMSELF | {"publisher"},
    ("POST", _TAKE + "rating"): HIMSELF | {"publisher"},
    ("POST", _TAKE + "feedback"): HIMSELF | {"publisher"},
    ("GET", "/v1/learners"): {"reader"},
    ("GET", "/v1/learners/{user_id}"): HIMSELF | {"reader"},
    ("DELETE", "/v1/learners/{user_id}"): HIMSELF | {"admin"},
    ("GET", "/v1/learners/{user_id}/recommendations"): HIMSELF | {"reader"},
    ("GET", "/v1/learners/{user_id}/changes"): HIMSELF | {"reader"},
    ("GET", "/v1/learners/{user_id}/embedding"): {"reader"},
    ("GET", "/v1/courses"): CATALOGUE,
    ("GET", "/v1/courses/popular"): CATALOGUE,
    ("GET", "/v1/courses/trending"): CATALOGUE,
    ("GET", "/v1/courses/latest"): CATALOGUE,
    ("GET", "/v1/courses/{course_id}"): CATALOGUE,
    ("GET", "/v1/courses/{course_id}/similar"): CATALOGUE,
    ("POST", "/v1/grades/recommendations"): CATALOGUE,
    ("GET", "/v1/quality"): {"operator"},
    ("GET", "/v1/experiments"): {"operator"},
    ("PUT", "/v1/courses/{course_id}"): {"admin"},
    ("DELETE", "/v1/courses/{course_id}"): {"admin"},
}
OPEN: Final = {("GET", "/livez"), ("GET", "/readyz"), ("GET", "/metrics")}
VALUES: Final = {"progress": 0.5, "rating": 4, "feedback": "useful"}


@pytest.fixture(scope="module")
def api(stack: EmbeddedStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """An API over a Redis in which the shared lists stand: without them courses are answered by 503."""
    with running_redis(tmp_path_factory.mktemp("redis")) as server, Redis.from_url(server.redis_url) as redis:
        State(redis).write_shared([Card("matrix-course", "Matrix")], [row("matrix-course", 0.9)])
        with running_api(stack.bootstrap_servers, server.redis_url) as client:
            yield client


def call(api: httpx.Client, method: str, template: str, headers: dict[str, str]) -> int:
    """Send a request that is right but for who sends it."""
    body: object = {"value": VALUES.get(template.rpartition("/")[2], 0)}
    if template == "/v1/events":
        body = {"type": "enrolled", "user_id": ME, "course_id": "c"}
    elif template == "/v1/grades/recommendations":
        body = [{"course_id": "matrix-course", "grade": 80}]
    elif method == "PUT":
        body = {"title": "Matrix"}
    path = template.replace("{user_id}", ME).replace("{course_id}", "matrix-course")
    content = {"json": body} if method in ("POST", "PUT") else {}
    query = {"title": "matrix"} if template == "/v1/courses" else {}
    with api.stream(method, path, headers=headers, params=query, **content) as answer:  # type: ignore[arg-type]
        return answer.status_code  # of a stream without end, too


def test_every_route_has_an_entry(api: httpx.Client) -> None:
    paths = api.get("/openapi.json", headers={"Authorization": ""}).json()["paths"]
    assert {(method.upper(), path) for path, methods in paths.items() for method in methods} == MATRIX.keys() | OPEN


@pytest.mark.parametrize(("method", "path"), MATRIX)
def test_only_these_may(api: httpx.Client, method: str, path: str) -> None:
    statuses = {name: call(api, method, path, bearer(*who)) for name, who in CALLERS.items()}
    assert {name for name, status in statuses.items() if status != 403} == MATRIX[method, path]
    assert set(statuses.values()) <= {200, 202, 403, 404}


@pytest.mark.parametrize(("method", "path"), MATRIX)
def test_nobody_may_without_a_valid_token(api: httpx.Client, method: str, path: str) -> None:
    expired = {"Authorization": f"Bearer {token(ME, 'learner publisher reader operator admin', ttl_s=-5)}"}
    for headers in ({"Authorization": ""}, {"Authorization": "Bearer nonsense"}, expired):
        assert call(api, method, path, headers) == 401


@pytest.mark.parametrize(("method", "path"), OPEN)
def test_probes_need_no_token(api: httpx.Client, method: str, path: str) -> None:
    assert api.request(method, path, headers={"Authorization": ""}).status_code == 200


def test_an_erasure_is_the_learners_own_or_an_admins(api: httpx.Client) -> None:
    event = {"type": "erased", "user_id": ME}
    statuses = {
        name: api.post("/v1/events", json=event, headers=bearer(*who)).status_code for name, who in CALLERS.items()
    }
    assert {name for name, status in statuses.items() if status == 202} == HIMSELF | {"admin"}
    assert set(statuses.values()) == {202, 403}


def test_one_foreign_event_refuses_the_whole_batch(api: httpx.Client) -> None:
    events = [{"type": "enrolled", "user_id": user_id, "course_id": "c"} for user_id in (ME, "matrix-other")]
    answer = api.post("/v1/events", json={"events": events}, headers=bearer(ME, "learner"))
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
