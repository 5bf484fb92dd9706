"""Commands on a real Kafka and Redis, by what they answer to programs."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.follow import Catalogue
from cli.app import run
from deploy.embedded import EmbeddedStack, embedded
from tests.campus_folder import COURSES, LEARNERS, write_campus


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """Run an own Kafka and Redis: what is decided here about models must not reach other tests."""
    with embedded(tmp_path_factory.mktemp("stack"), partitions=4) as running:
        yield running


@pytest.fixture(autouse=True)
def _system(stack: EmbeddedStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands find the stack."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", stack.bootstrap_servers)
    monkeypatch.setenv("REDIS_URL", stack.redis_url)
    monkeypatch.setenv("COURSESTREAM_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """Write a folder with one row that cannot be read."""
    folder = write_campus(tmp_path / "campus")
    with (folder / "events.jsonl").open("a") as file:
        file.write('{"type": "rated", "user_id": "u", "course_id": "c", "occurred_at": 5, "value": 9}\n')
    return folder


def answer_of(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> dict[str, Any]:
    """Run a command with `--json -` and return what it answered; standard output holds nothing else."""
    assert run([*arguments, "--json", "-"]) == status
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def test_an_import_publishes_and_may_be_repeated(
    stack: EmbeddedStack, sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer_of(capsys, "lag").keys() == {"partitions", "lag", "max_lag_s"}
    before = answer_of(capsys, "lag")["lag"]
    first = answer_of(capsys, "import", str(sample))
    wanted = {"layout", "courses", "learners", "events", "rejected", "rejects_file", "seconds"}
    assert wanted <= first.keys()
    assert (first["layout"], first["courses"], first["rejected"]) == ("canonical", COURSES, 1)
    assert LEARNERS // 2 < first["learners"] <= LEARNERS
    assert first["report"] == {"ratings off the scale": 1}
    assert "value" in Path(first["rejects_file"]).read_text()
    assert answer_of(capsys, "lag")["lag"] == before + first["events"]

    digest = answer_of(capsys, "state", "digest", "--as-of", "4000000000")
    epoch = asyncio.run(catalogue_epoch(stack))
    assert answer_of(capsys, "import", str(sample))["events"] == first["events"]
    assert asyncio.run(catalogue_epoch(stack)) == epoch, "courses that did not change are not published again"
    again = answer_of(capsys, "state", "digest", "--as-of", "4000000000")
    assert again["applied"] != digest["applied"]
    assert {**again, "applied": None} == {**digest, "applied": None}


def test_an_import_of_nothing_but_garbage_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = tmp_path / "garbage" / "events.jsonl"
    events.parent.mkdir()
    events.touch()
    assert answer_of(capsys, "import", str(events.parent))["rejected"] == 0
    events.write_text("{}\n[\n\0\n")
    answer = answer_of(capsys, "import", str(events.parent), status=1)
    assert (answer["events"], answer["rejected"]) == (0, 3)
    assert run(["import", str(events.parent)]) == 1
    assert f"no row of {events.parent} can be read: {answer['rejects_file']} says why" in capsys.readouterr().err


async def catalogue_epoch(stack: EmbeddedStack) -> int:
    """Return the offset of the newest record of `courses`."""
    async with Catalogue(stack.bootstrap_servers) as catalogue:
        return catalogue.epoch


def test_replay_rebuilds_what_the_log_says(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer_of(capsys, "import", str(sample))
    replayed = answer_of(capsys, "replay")
    assert {"generation", "events", "seconds", "events_per_s", "digest"} <= replayed.keys()
    generation = str(replayed["generation"])
    rebuilt = answer_of(capsys, "state", "digest", "--generation", generation)
    assert {"digest", "learners", "records", "applied"} <= rebuilt.keys()
    assert rebuilt["digest"] == replayed["digest"]
    assert rebuilt == answer_of(capsys, "state", "digest", "--as-of", "4000000000")


def test_published_lines_are_in_the_log_and_refused_ones_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    before = answer_of(capsys, "lag")["lag"]
    lines = (
        b'{"type": "enrolled", "user_id": "line", "course_id": "c", "occurred_at": 5}\n'
        b"\n"
        b'{"type": "progressed", "user_id": "line", "course_id": "c", "occurred_at": 5, "value": 1.7}\n'
        b'{"type": "viewed", "user_id": "line", "course_id": "c", "occurred_at": 5}'
    )
    command = (sys.executable, "-m", "cli.app", "publish", "--json", "-")
    ended = subprocess.run(command, input=lines, capture_output=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert json.loads(ended.stdout) == {"published": 2, "refused": 1}
    assert ended.stderr.decode() == "line 3: value: Expected `float` <= 1.0\n"
    assert answer_of(capsys, "lag")["lag"] == before + 2
