"""`coursestream erase` on a whole running system: nothing is left of a learner but what keeps him out."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import httpx
import pytest
import redis

from schemas.errors import InvalidEventError
from schemas.events import decode_event
from tests.integration.test_end_to_end import System, until, write_campus
from trainer.snapshot import load

PATIENCE_S: Final = 400.0
USER: Final = "erase-marker-user"
MARKS: Final = ("erase-marker-review", "erase-marker-interest", "erase-marker-query", "erase-marker-course")
"""Stand in what the learner said and in nothing else, but for the course, which the catalogue has too."""

SETTINGS: Final = {
    "MIN_ENROLMENTS": "300", "CALM_SECONDS": "1", "REFIT_MINUTES": "600", "TRAIN_DIMENSIONS": "8", "TRAIN_EPOCHS": "2",
}  # fmt: skip


pytestmark = pytest.mark.timeout(1_800)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Run `up` over a campus and the learner, with a model that was made with both."""
    folder = tmp_path_factory.mktemp("erase")
    write_campus(folder / "campus")
    with (folder / "campus" / "courses.jsonl").open("a") as courses:
        courses.write(json.dumps({"course_id": MARKS[3], "title": "A course of one learner"}) + "\n")
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.app", "up", "--state-dir", str(folder / "state"), "--port", "0"],
            stdout=log, stderr=log, env={**os.environ, **SETTINGS},
        )  # fmt: skip
    running = System(folder / "state", process)
    try:
        until((folder / "state" / "ready.json").exists, PATIENCE_S)
        token = running.cli("token", "--subject", "tests", "--scope", "publisher reader operator admin")
        running.headers = {"Authorization": f"Bearer {token.strip()}"}
        _live(running)
        running.ask("import", str(folder / "campus"))
        until(lambda: _model(running).startswith("m-"), PATIENCE_S)
        yield running
    finally:
        running.end()


def _erase(system: System, user_id: str, *options: str, **environment: str) -> tuple[int, dict[str, Any]]:
    """Run the command; return its exit status and its report."""
    done = subprocess.run(
        [sys.executable, "-m", "cli.app", "erase", user_id, "--json", "-", "--wait-s", str(PATIENCE_S), *options],
        capture_output=True, text=True, timeout=PATIENCE_S + 200, check=False,
        env={**os.environ, "COURSESTREAM_STATE_DIR": str(system.state_dir), **environment},
    )  # fmt: skip
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def _states(answer: dict[str, Any]) -> dict[str, str]:
    return {one["place"]: one["state"] for one in answer["places"]}


def _live(system: System) -> None:
    """Publish what the learner did: of every kind, and one record that is none."""
    about = {"user_id": USER, "course_id": MARKS[3]}
    events: list[dict[str, Any]] = [
        {"type": "enrolled", **about},
        {"type": "progressed", **about, "value": 0.5},
        {"type": "rated", **about, "value": 4, "review": MARKS[0]},
        {"type": "feedback", **about, "value": "useful"},
        {"type": "profile_updated", "user_id": USER, "interests": [MARKS[1]]},
        {"type": "searched", "user_id": USER, "query": MARKS[2]},
        *({"type": kind, "user_id": USER, "course_id": "c3"} for kind in ("viewed", "clicked", "shown")),
        *({"type": "enrolled", "user_id": USER, "course_id": f"c{i}"} for i in range(5)),
    ]
    answer = system.post("/v1/events", {"events": events})
    assert answer.status_code == 202 and answer.json()["rejected"] == [], answer.text


def _model(system: System) -> str:
    """Return the model that lists are made with, as the API sees it."""
    return str(system.get("/v1/learners/u0/recommendations")["model_version"])


def _has_own_list(system: System, user_id: str) -> bool:
    """Whether a learner is shown anything but the popular list."""
    items = system.get(f"/v1/learners/{user_id}/recommendations")["items"]
    return any(not item["topped_up"] for item in items)


def _taken(system: System) -> list[str]:
    return [one["course_id"] for one in system.get(f"/v1/learners/{USER}")["courses"]]


def _values(client: Any, key: bytes) -> bytes:
    """Return all that stands under a key."""
    match client.type(key):
        case b"hash":
            parts = [part for pair in client.hgetall(key).items() for part in pair]
        case b"zset":
            parts = client.zrange(key, 0, -1)
        case _:
            parts = [client.get(key) or b""]
    return b"\n".join(parts)


def _listed(system: System) -> list[str]:
    return [one["user_id"] for one in system.get("/v1/learners?limit=100")["learners"]]


def _holding(system: System, mark: str) -> list[str]:
    """Return every key of Redis that holds a mark, in its name or below it."""
    with redis.Redis.from_url(system.ready["redis_url"]) as client:
        return sorted(
            key.decode() for key in client.scan_iter(count=1_000) if mark.encode() in key + b"\n" + _values(client, key)
        )


def _learners_of(system: System, mark: str) -> list[str]:
    """Return the keys about learners that hold a mark; others may be shown the course, as the catalogue has it."""
    shown = ("cs:{shared}", *(f"cs:{{{shard}}}:{number}:l:" for shard in range(16) for number in range(2)))
    return [key for key in _holding(system, mark) if USER in key or not key.startswith(shown)]


def _files(system: System) -> bytes:
    """Return what the trainer keeps of the log, decompressed, and every byte of the bundles."""
    _, rows = load(system.state_dir / "snapshots")
    assert rows
    bundles = [path.read_bytes() for path in (system.state_dir / "bundles").rglob("*") if path.is_file()]
    assert bundles
    return b"\n".join([*(row.value for row in rows if not _is_erasure(row.value)), *bundles])


def _is_erasure(value: bytes) -> bool:
    try:
        return decode_event(value).type_name == "erased"
    except InvalidEventError:
        return False


def _tombstones(system: System, generations: int) -> list[str]:
    """Return the keys that may name the learner: what keeps him out, in every generation."""
    (shard,) = {key.split(":")[1] for key in _holding(system, USER)}
    return sorted(f"cs:{shard}:{number}:{kind}" for number in range(generations) for kind in (f"h:{USER}", "u"))


def test_an_erasure_goes_through_every_place(system: System) -> None:
    until(lambda: _has_own_list(system, USER), PATIENCE_S)
    until(lambda: bool(_learners_of(system, MARKS[2])), PATIENCE_S)
    moment = str(time.time())
    then = system.ask("replay", "--until", moment)["digest"]  # a generation that nobody feeds
    for mark in MARKS:
        assert _learners_of(system, mark), f"{mark} was nowhere"
    assert any(":1:h:" in key for key in _holding(system, USER))
    before = _model(system)
    assert USER.encode() in _files(system) and MARKS[0].encode() in _files(system)
    assert system.post(f"/v1/learners/{USER}/courses/{MARKS[3]}/progress", {"value": 0.7}).status_code == 202
    until(lambda: USER in _listed(system), PATIENCE_S)

    status, answer = _erase(system, USER)

    assert status == 0 and answer["done"], answer
    assert set(_states(answer).values()) == {"done", "kept"}, answer
    for mark in MARKS:
        assert _learners_of(system, mark) == []
    assert _holding(system, USER) == _tombstones(system, 2)
    assert USER.encode() not in _files(system) and MARKS[0].encode() not in _files(system)
    assert _taken(system) == []
    assert not _has_own_list(system, USER)
    assert USER not in _listed(system)
    until(lambda: _model(system) != before, PATIENCE_S)
    assert system.ask("replay", "--until", moment)["digest"] == then  # what it was, but nobody is brought back
    assert [mark for mark in MARKS if _learners_of(system, mark)] == []
    assert _holding(system, USER) == _tombstones(system, 1)


def test_a_learner_who_returns_starts_anew_and_what_was_erased_stays_away(system: System) -> None:
    status, answer = _erase(system, USER)  # again
    assert status == 0 and answer["done"], answer
    through = datetime.fromisoformat(answer["erased_through"])
    too_early = system.post(f"/v1/learners/{USER}/courses/c6/enrol", {}).json()
    assert [one["index"] for one in too_early["erased"]] == [0]
    assert datetime.fromisoformat(too_early["erased"][0]["erased_through"]) == through
    until(lambda: time.time() + 299.5 > through.timestamp())
    later = {"occurred_at": time.time() + 299.5}  # as far ahead as a clock may be
    returned = system.post(f"/v1/learners/{USER}/courses/c7/enrol", later).json()
    assert (returned["accepted"], returned["erased"]) == (1, [])
    until(lambda: _taken(system) == ["c7"], PATIENCE_S)

    with redis.Redis.from_url(system.ready["redis_url"]) as client:
        client.flushall()
    seen: set[str] = set()

    def is_back() -> bool:
        answer = system.get(f"/v1/learners/{USER}")
        seen.update(one["course_id"] for one in answer["courses"])
        return not answer["degraded"] and bool(answer["courses"])

    until(is_back, PATIENCE_S)
    assert seen == {"c7"}
    assert [mark for mark in MARKS[:3] if _learners_of(system, mark)] == []  # the course may be recommended anew


def test_an_unknown_learner_is_erased_at_once_and_asks_for_no_model(system: System) -> None:
    before = _model(system)
    status, answer = _erase(system, "nobody-ever")
    assert status == 0 and answer["done"], answer
    (model,) = (one for one in answer["places"] if one["place"] == "model")
    assert before in model["proof"] and "without the learner" in model["proof"]


def test_what_cannot_be_reached_is_said_and_is_no_success(system: System) -> None:
    status, answer = _erase(system, "nobody-ever", "--wait-s", "2", REDIS_URL="redis://127.0.0.1:1/0")
    assert status == 1 and not answer["done"]
    states, (history, *_) = _states(answer), answer["places"]
    assert states["history"] == states["list"] == "open"
    assert "Redis does not answer" in history["proof"]
    assert answer["position"].startswith("learner-events:")


def test_a_learner_may_be_erased_over_http(system: System) -> None:
    answer = httpx.delete(f"{system.ready['api_url']}/v1/learners/u3", headers=system.headers, timeout=20)
    assert answer.status_code == 202, answer.text
    body = answer.json()
    until(lambda: system.get("/v1/learners/u3")["courses"] == [], PATIENCE_S)
    assert not _has_own_list(system, "u3")
    ahead_s = datetime.fromisoformat(body["erased_through"]).timestamp() - time.time()
    assert 0 < ahead_s <= 300


def test_no_log_line_of_any_process_names_a_learner(system: System) -> None:
    log = (system.state_dir.parent / "up.log").read_text()
    for process in ("worker-1", "trainer", "api"):
        assert f"{process} " in log, log[-2_000:]
    for mark in (USER, *MARKS):
        assert mark not in log
