"""`simulate` and `demo` as their users run them: processes of their own, on a real system, ended by signals."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.campus_folder import write_campus

MARGIN = 0.05
LIVELY_S = 300.0
CAMPUS = ("--learners", "300", "--courses", "80", "--past", "4000", "--rate", "60", "--seed", "2")
QUICK = {"MIN_ENROLMENTS": "100", "TRAIN_DIMENSIONS": "8", "TRAIN_EPOCHS": "2"}


def until(holds: Callable[[], bool], timeout_s: float = 120.0) -> None:
    """Wait until something holds; fail when it does not come to hold."""
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end, f"still not so after {timeout_s} s"
        time.sleep(0.2)


class Running:
    """A command that runs, with what it says in a file."""

    def __init__(self, folder: Path, name: str, *arguments: str, **environment: str) -> None:
        self.said = folder / f"{name}.txt"
        command = [sys.executable, "-m", "cli.app", name, *arguments, "--state-dir", str(folder / "state")]
        with self.said.open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **environment})

    def until_it_says(self, pattern: str) -> None:
        """Wait for what a regular expression finds; fail, with all it said, when it ends before or takes too long."""
        end = time.monotonic() + LIVELY_S
        while not re.search(pattern, said := self.said.read_text(), re.MULTILINE):
            is_well = self.process.poll() is None and "nothing more is shown" not in said
            assert is_well and time.monotonic() < end, said
            time.sleep(0.2)

    def stop(self, number: signal.Signals) -> str:
        """Send a signal; the command must end well, with all it started. Return what it has said."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(number)
        assert self.process.wait(20) == 0, self.said.read_text()
        _, alive = psutil.wait_procs(children, 5)
        assert not alive, f"{alive} were left behind"
        return self.said.read_text()


@contextmanager
def running(folder: Path, name: str, *arguments: str, **environment: str) -> Iterator[Running]:
    """Run a command; kill it if the test fails before it has ended."""
    made = Running(folder, name, *arguments, **environment)
    try:
        yield made
    finally:
        made.process.kill()  # whatever it started dies with it
        made.process.wait()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Run `up`; its state is in `state`."""
    folder = tmp_path_factory.mktemp("simulate")
    with running(folder, "up", "--port", "0", **QUICK) as up:
        until((folder / "state" / "ready.json").exists)
        yield folder
        up.stop(signal.SIGTERM)


def ready(folder: Path) -> dict[str, Any]:
    """Return where the system is found."""
    answer: dict[str, Any] = json.loads((folder / "state" / "ready.json").read_text())
    return answer


def enrolments(folder: Path) -> float:
    """Return how many enrolments the API has taken."""
    metrics = httpx.get(ready(folder)["api_url"] + "/metrics", timeout=20).text
    found = re.search(r'^coursestream_events_accepted_total\{type="enrolled"\} (\S+)$', metrics, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_learners_gain_by_the_hybrid_list_though_the_api_dies_under_them(folder: Path) -> None:
    answer_file = folder / "answer.json"
    with running(folder, "simulate", *CAMPUS, "--seconds", "40", "--json", str(answer_file)) as simulate:
        time.sleep(20)
        os.kill(ready(folder)["pids"]["api"], signal.SIGKILL)
        assert simulate.process.wait(120) == 0, simulate.said.read_text()
    answer = json.loads(answer_file.read_text())
    assert answer["retries"] > 0
    assert answer["events"] > 400
    assert (answer["learners"], answer["courses"], answer["past"], answer["seed"]) == (300, 80, 4_000, 2)
    assert answer["seconds"] >= 40
    assert set(answer["arms"]) == {"hybrid", "popular", "random"}
    for arm in answer["arms"].values():
        assert arm["decisions"] > 50
        assert 0 < arm["satisfaction"] < arm["oracle"] <= 1
        assert arm["share"] == pytest.approx(arm["satisfaction"] / arm["oracle"], abs=1e-3)
    shares = {name: arm["share"] for name, arm in answer["arms"].items()}
    assert shares["hybrid"] > shares["random"] + MARGIN, shares


def test_ctrl_c_ends_it_with_its_answer(folder: Path) -> None:
    answer_file, before = folder / "second.json", enrolments(folder)
    with running(folder, "simulate", *CAMPUS, "--past", "0", "--json", str(answer_file)) as simulate:
        until(lambda: enrolments(folder) > before + 10)
        table = simulate.stop(signal.SIGINT)
    answer = json.loads(answer_file.read_text())
    assert "hybrid" in table
    assert answer["past"] == 0 and answer["events"] > 0
    assert sum(arm["decisions"] for arm in answer["arms"].values()) > 0


def test_demo_shows_a_campus_that_learns_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with running(tmp_path, "demo", "--no-browser", "--port", "0", **QUICK) as demo:
        demo.until_it_says(r"events/s.*\d+ ms \(p99\); model m-\w+; hybrid \d+%")
        said = demo.stop(signal.SIGINT)
    assert re.search(r"http://127\.0\.0\.1:\d+/#token=\S+", said)
    assert said.count('curl -s -H "Authorization: Bearer $TOKEN"') == 3
    assert re.search(r"hybrid +\d", said) and said.rstrip().endswith("everything has stopped")
    assert not re.search(r"^Traceback", said, re.MULTILINE)


def test_demo_on_data_has_no_campus(tmp_path: Path) -> None:
    data = write_campus(tmp_path / "data")
    with running(tmp_path, "demo", "--data", str(data), "--no-browser", "--port", "0", **QUICK) as demo:
        demo.until_it_says(r"\d+ ms \(p99\); model m-\w+$")
        demo.until_it_says(r"TOKEN=")
        said = demo.stop(signal.SIGTERM)
    assert "hybrid" not in said and "learner-" in said
    assert not re.search(r"^Traceback", said, re.MULTILINE)
