"""`coursestream bench quality` as it is called, on a small campus in place of the real data."""

import json
from pathlib import Path

import msgspec
import pytest

from bench.children import Job, run_all
from bench.suite import Bench, Part
from cli.app import run
from reports.page import shown
from schemas.events import Enrolled
from tests.unit.bench.test_document import result
from tests.unit.trainer.campus import checkerboard, courses


def _campus(folder: Path) -> Path:
    folder.mkdir(parents=True)
    events = [
        {"user_id": event.user_id, "course_id": event.course_id, "type": "enrolled", "occurred_at": event.occurred_at}
        for event in checkerboard()
        if isinstance(event, Enrolled)
    ]
    titles = [{"course_id": course.course_id, "title": course.title} for course in courses()]
    for name, rows in (("events", events), ("courses", titles)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_a_bench_is_measured_and_a_failed_one_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAIN_DIMENSIONS", "8")
    monkeypatch.setenv("TRAIN_EPOCHS", "2")
    _campus(tmp_path / "data" / "seed_csv")
    into, kept, answer = tmp_path / "docs" / "benchmarks.md", tmp_path / "kept", tmp_path / "answer.json"
    call = ["bench", "quality", "--data", str(tmp_path / "data"), "--into", str(into), "--kept", str(kept)]
    kept.mkdir()
    speed = {"bench": {"training": {"ratio": 10.0, "pairs_per_s": 6e5, "plain_pairs_per_s": 6e4}}}
    (kept / "training.all.json").write_bytes(msgspec.json.encode(result("training", "all", speed)))
    assert run([*call, "--only", "noise,catalogues", "--limit", "30", "--json", str(answer)]) == 1
    parts = {one["part"]: one["error"] for one in json.loads(answer.read_text())["bench"]["quality"]}
    assert (parts["all"], parts["edx"]) == ("", "DATA/edx_catalog is no folder")
    text = into.read_text()
    measured = json.loads((kept / "noise.all.json").read_text())["answer"]["models"]
    assert measured["hybrid"]["tests"] == 30
    for model in ("popular", "content", "ease", "neumf", "hybrid"):
        assert f"| `{model}` | {shown(measured[model]['recall@10'])}" in text.replace("**", "")
    assert "TRAIN_DIMENSIONS=8, TRAIN_EPOCHS=2" in text
    assert "--models popular,content,ease,neumf,hybrid --limit 30 --seed 1` | 30 |" in text
    assert "Failed: edx (`coursestream bench catalogue DATA/edx_catalog`): DATA/edx_catalog is no folder" in text
    assert str(tmp_path) not in text
    assert "10 x the plain loop" in text  # what was measured before stays


def test_missing_data_and_unknown_benches_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    into = tmp_path / "benchmarks.md"
    call = ["bench", "quality", "--into", str(into), "--kept", str(tmp_path / "kept"), "--data"]
    assert run([*call, str(tmp_path / "nowhere")]) == 1
    said = capsys.readouterr().err
    assert "nowhere: name that of the real data by --data" in said and said.count("\n") == 1
    assert run([*call, str(tmp_path), "--only", "mars,speed"]) == 2
    assert "there is no bench 'speed'" in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not into.exists()


def test_what_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Part, "longest_s", property(lambda _: 0.2))
    part = Part("all", "evaluate {data}/mars_en", 1)
    bench = Bench("slow", "stream", "Slow", "", (part,))
    told: list[str] = []
    (result,) = run_all([Job(bench, part, tmp_path, 0, tmp_path)], 1, told.append)
    assert result.error == "given up after 0 s"
    assert (tmp_path / "slow.all.json").is_file()
    assert told[-1].startswith("slow, all: given up after 0 s")
