"""The whole path as a user walks it: `up`, import a folder, train, read a list over HTTP, enrol, see it change."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import redis

COURSES = 40
LEARNERS = 150


def write_campus(folder: Path) -> None:
    """Write a canonical folder: learners of two groups, each taking the courses of its own group in order."""
    rows = random.Random(7)
    folder.mkdir()
    subject = ("spreadsheet formulas", "watercolour painting")
    with (folder / "courses.jsonl").open("w") as courses:
        for i in range(COURSES):
            title = f"Lesson {i // 2} on {subject[i % 2]}"
            courses.write(json.dumps({"course_id": f"c{i}", "title": title, "category": subject[i % 2]}) + "\n")
    with (folder / "events.jsonl").open("w") as events:
        for learner in range(LEARNERS):
            own = rows.sample(range(learner % 2, COURSES, 2), 8)
            for step, course in enumerate(own):
                moment = 1_700_000_000 + step * 86_400 + learner
                row = {"user_id": f"u{learner}", "course_id": f"c{course}", "type": "enrolled", "occurred_at": moment}
                events.write(json.dumps(row) + "\n")
        events.write(
            '{"user_id": "u1", "course_id": "c1", "type": "progressed", "occurred_at": 1700000000, "value": 7}\n'
        )


class System:
    """A running `up` as its user reaches it."""

    def __init__(self, state_dir: Path, process: subprocess.Popen[bytes]) -> None:
        self.state_dir = state_dir
        self.process = process
        self.headers: dict[str, str] = {}

    @property
    def ready(self) -> dict[str, Any]:
        """What `ready.json` says now."""
        answer: dict[str, Any] = json.loads((self.state_dir / "ready.json").read_text())
        return answer

    def cli(self, *arguments: str) -> str:
        """Run a command against this system; return its standard output."""
        done = subprocess.run(
            [sys.executable, "-m", "cli.app", *arguments, "--state-dir", str(self.state_dir)],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, *arguments: str) -> Any:
        """Run a command and return its JSON."""
        return json.loads(self.cli(*arguments, "--json", "-"))

    def end(self) -> None:
        """End the system as an operator does; nothing may be left of it."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        _, alive = psutil.wait_procs(children, 5)
        assert not alive, f"{alive} were left behind"

    def get(self, path: str) -> Any:
        """Look something up over HTTP."""
        answer = httpx.get(self.ready["api_url"] + path, headers=self.headers, timeout=20)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any) -> httpx.Response:
        """Send something over HTTP."""
        return httpx.post(self.ready["api_url"] + path, json=body, headers=self.headers, timeout=20)

    def listed(self, user_id: str, query: str = "") -> list[str]:
        """Return the course ids of a learner's list, best first."""
        found = self.get(f"/v1/learners/{user_id}/recommendations?limit=10{query}")
        return [item["course_id"] for item in found["items"]]


def until(holds: Callable[[], bool], timeout_s: float = 90.0) -> None:
    """Wait until something holds; fail when it does not come to hold."""
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end, f"still not so after {timeout_s} s"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Run `up` with the campus imported, and a token that may do everything."""
    folder = tmp_path_factory.mktemp("end-to-end")
    write_campus(folder / "campus")
    state_dir = folder / "state"
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.app", "up", "--state-dir", str(state_dir), "--port", "0"],
            stdout=log, stderr=log,
        )  # fmt: skip
    running = System(state_dir, process)
    try:
        until((state_dir / "ready.json").exists)
        scopes = "publisher reader operator admin"
        token = running.cli("token", "--subject", "tests", "--scope", scopes).strip()
        running.headers = {"Authorization": f"Bearer {token}"}
        yield running
    finally:
        running.end()


def test_import_reports_what_was_read_and_rejected(system: System) -> None:
    answer = system.ask("import", str(system.state_dir.parent / "campus"))
    assert (answer["layout"], answer["courses"], answer["learners"]) == ("canonical", COURSES, LEARNERS)
    assert (answer["events"], answer["rejected"]) == (LEARNERS * 8, 1)
    rejects = Path(answer["rejects_file"]).read_text()
    assert "value" in rejects
    assert str(LEARNERS * 8 + 1) in rejects  # the line


def test_a_trained_model_goes_live_by_itself(system: System) -> None:
    def trained() -> bool:
        models = system.ask("models", "list")["models"]
        return any(model["state"] == "live" and not model["bootstrap"] for model in models)

    until(trained, 150)
    version = next(model["version"] for model in system.ask("models", "list")["models"] if model["state"] == "live")
    until(lambda: system.get("/v1/learners/u0/recommendations")["model_version"] == version)


def test_lists_follow_the_learners_taste_and_name_the_cause(system: System) -> None:
    taken = {course["course_id"] for course in system.get("/v1/learners/u0")["courses"]}
    found = system.get("/v1/learners/u0/recommendations?limit=10")
    listed = [int(item["course_id"][1:]) for item in found["items"]]
    assert len(taken) == 8
    assert sum(course % 2 == 0 for course in listed) >= 8
    causes = {reason["course_id"] for item in found["items"] for reason in item["reasons"]} - {None}
    assert causes
    assert causes <= taken


def test_an_enrolment_changes_the_list(system: System) -> None:
    first = system.listed("u2")[0]
    answer = system.post(f"/v1/learners/u2/courses/{first}/enrol", {})
    assert answer.status_code == 202, answer.text
    assert first not in system.listed("u2")  # at once: the pending write filters it
    position = answer.json()["position"]
    found = system.get(f"/v1/learners/u2/recommendations?limit=40&after={position}&wait_ms=5000")
    assert first not in [item["course_id"] for item in found["items"]]
    statuses = {course["course_id"]: course["status"] for course in system.get("/v1/learners/u2")["courses"]}
    assert statuses[first] == "enrolled"


def test_an_unknown_learner_gets_the_popular_list(system: System) -> None:
    found = system.get("/v1/learners/nobody/recommendations")
    assert len(found["items"]) == 10
    assert not found["degraded"]


def test_killed_worker_loses_nothing_and_the_digest_equals_a_replays(system: System) -> None:
    publisher = subprocess.Popen(
        [sys.executable, "-m", "cli.app", "publish", "--state-dir", str(system.state_dir)], stdin=subprocess.PIPE
    )
    assert publisher.stdin is not None
    victim = system.ready["pids"]["workers"][0]
    for i in range(3_000):
        row = {"type": "enrolled", "event_id": f"k{i}", "user_id": f"k{i % 300}", "course_id": f"c{i % COURSES}"}
        publisher.stdin.write(json.dumps({**row, "occurred_at": 1_700_000_000 + i}).encode() + b"\n")
        if i == 1_500:
            publisher.stdin.flush()
            os.kill(victim, signal.SIGKILL)
        if i % 100 == 99:
            time.sleep(0.1)
    publisher.stdin.close()
    assert publisher.wait(60) == 0
    until(lambda: victim not in system.ready["pids"]["workers"])
    until(lambda: system.ask("lag")["lag"] == 0)
    live = system.ask("state", "digest")
    assert live["learners"] >= 300 + LEARNERS
    assert system.ask("replay")["digest"] == live["digest"]


def _made_anew(system: System, user_id: str) -> str:
    """Have every list made again, with the popularity of now; return when this learner's was."""
    path = f"/v1/learners/{user_id}/recommendations"
    before = system.get(path)
    time.sleep(6.0)  # popularity is summed every five seconds
    system.ask("models", "promote", before["model_version"])
    until(lambda: system.get(path)["generated_at"] > before["generated_at"])
    return str(system.get(path)["generated_at"])


def test_an_emptied_redis_comes_back(system: System) -> None:
    before = system.ask("state", "digest")
    made_at = _made_anew(system, "u4")
    listed = system.listed("u4")
    redis.Redis.from_url(system.ready["redis_url"]).flushall()

    def answer() -> Any:
        return system.get("/v1/learners/u4/recommendations?limit=10")

    meanwhile = answer()
    assert meanwhile["degraded"]
    assert len(meanwhile["items"]) == 10
    until(lambda: not answer()["degraded"] and answer()["generated_at"] > made_at)
    until(lambda: all(one["state"] == "live" for one in system.ask("lag")["partitions"]))
    assert [item["course_id"] for item in answer()["items"]] == listed
    assert system.ask("state", "digest")["digest"] == before["digest"]


def test_a_second_up_on_the_same_directory_is_refused(system: System) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "cli.app", "up", "--state-dir", str(system.state_dir), "--port", "0"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert second.returncode == 1
    assert len(second.stderr.strip().splitlines()) == 1
    assert str(system.process.pid) in second.stderr
