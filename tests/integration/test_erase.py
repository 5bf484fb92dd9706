"""`coursestream erase` on a whole running system: nothing is left of a learner but what keeps him out."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import pytest
import redis

from schemas.errors import InvalidEventError
from schemas.events import decode_event
from tests.integration.test_end_to_end import System, until, write_campus
from trainer.snapshot import load

USER: Final = "erase-marker-user"
MARKS: Final = ("erase-marker-review", "erase-marker-interest", "erase-marker-query", "erase-marker-course")
"""Stand in what the learner said and in nothing else, but for the course, which the catalogue has too."""

SETTINGS: Final = {
    "MIN_ENROLMENTS": "300", "CALM_SECONDS": "1", "REFIT_MINUTES": "600", "TRAIN_DIMENSIONS": "8", "TRAIN_EPOCHS": "2",
}  # fmt: skip


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
        until((folder / "state" / "ready.json").exists, 300)
        token = running.cli("token", "--subject", "tests", "--scope", "publisher reader operator admin")
        running.headers = {"Authorization": f"Bearer {token.strip()}"}
        _live(running)
        running.ask("import", str(folder / "campus"))
        until(lambda: _model(running).startswith("m-"), 300)
        yield running
    finally:
        running.end()


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
    return str(system.ask("models", "list")["live"])


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
    """Return the keys about learners that hold a mark: the shared ones show the course, as the catalogue has it."""
    return [key for key in _holding(system, mark) if not key.startswith("cs:{shared}")]


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
    until(lambda: system.get(f"/v1/learners/{USER}/recommendations")["generated_at"] is not None, 300)
    until(lambda: bool(_learners_of(system, MARKS[2])), 300)
    system.ask("replay", "--until", str(time.time()))  # a generation that nobody feeds
    for mark in MARKS:
        assert _learners_of(system, mark), f"{mark} was nowhere"
    before = _model(system)
    assert USER.encode() in _files(system) and MARKS[0].encode() in _files(system)
    assert system.post(f"/v1/learners/{USER}/courses/{MARKS[3]}/progress", {"value": 0.7}).status_code == 202
    until(lambda: USER in _listed(system), 300)

    answer = system.ask("erase", USER)

    states = {one["place"]: one["state"] for one in answer["places"]}
    assert answer["done"] and "open" not in states.values() and "pending" not in states.values(), answer
    assert before != _model(system) and states["model"] == "done"
    for mark in MARKS:
        assert _learners_of(system, mark) == []
    assert _holding(system, USER) == _tombstones(system, 2)
    assert USER.encode() not in _files(system) and MARKS[0].encode() not in _files(system)
    assert system.get(f"/v1/learners/{USER}")["courses"] == []
    assert system.get(f"/v1/learners/{USER}/recommendations")["generated_at"] is None
    assert USER not in _listed(system)
