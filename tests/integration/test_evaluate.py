"""`coursestream evaluate` as it is called, and on real data against an independent referee."""

import json
from pathlib import Path

import pytest

from cli.app import run
from schemas.events import Enrolled
from tests.grade_school import courses as school_courses
from tests.grade_school import grades
from tests.unit.reports.html import Page
from tests.unit.trainer.campus import checkerboard, courses

NAMES = ["popular", "content", "itemknn", "svd", "ease", "ials", "neumf_id", "neumf", "hybrid"]
REFEREE = {"popular": (0.141, 0.074), "ease": (0.353, 0.211)}
"""recall@10 and ndcg@10 on MARS: first half warm, every first interaction of a pair, pessimistic ties."""


def _folder(path: Path) -> Path:
    path.mkdir()
    rows = [
        {"user_id": event.user_id, "course_id": event.course_id, "type": "enrolled", "occurred_at": event.occurred_at}
        for event in checkerboard()
        if isinstance(event, Enrolled)
    ]
    listed = [{"course_id": course.course_id, "title": course.title} for course in courses()]
    for name, lines in (("events", rows), ("courses", listed)):
        (path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_folder_is_evaluated_with_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAIN_DIMENSIONS", "8")
    monkeypatch.setenv("TRAIN_EPOCHS", "2")
    folder, report, answer = _folder(tmp_path / "campus"), tmp_path / "report", tmp_path / "answer.json"
    call = ["evaluate", str(folder), "--limit", "60", "--refit", "200", "--report", str(report), "--json", str(answer)]
    assert run(call) == 0
    found = json.loads(answer.read_text())
    assert set(found) >= {"protocol", "dataset", "models", "events", "seconds"}
    assert found["protocol"] == "prequential"
    assert list(found["models"]) == NAMES
    assert found["models"]["hybrid"]["tests"] == 60
    assert found["refits"] == 2
    page = Page((report / "evaluation.html").read_text(encoding="utf-8"))
    page.check()
    assert [attributes["id"] for attributes in page.all("section")][:2] == ["metrics", "over-time"]
    assert "hybrid" in page.text
    assert json.loads((report / "evaluation.json").read_text())["models"] == found["models"]


def _school(path: Path) -> Path:
    path.mkdir()
    rows = [
        {"user_id": one.user_id, "course_id": one.course_id, "type": "graded", "occurred_at": one.occurred_at,
         "value": one.value}
        for one in grades(100)
    ]  # fmt: skip
    listed = [{"course_id": course.course_id, "title": course.title} for course in school_courses()]
    for name, lines in (("events", rows), ("courses", listed)):
        (path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_grades_are_predicted_with_a_report(tmp_path: Path) -> None:
    folder, report, answer = _school(tmp_path / "school"), tmp_path / "report", tmp_path / "answer.json"
    call = ["evaluate", str(folder), "--protocol", "grades", "--models", "grades,bias", "--refit", "0"]
    assert run([*call, "--report", str(report), "--json", str(answer)]) == 0
    found = json.loads(answer.read_text())
    assert (found["protocol"], list(found["models"]), found["refits"]) == ("grades", ["grades", "bias"], 1)
    assert found["models"]["grades"]["rmse"] < found["models"]["bias"]["rmse"]
    assert set(found["models"]["grades"]) >= {"rmse", "mae", "hr@10", "ndcg@10", "rmse_low", "rmse_high", "tests"}
    assert "grades" in (report / "evaluation.html").read_text()


def test_models_of_another_protocol_and_too_few_grades_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _folder(tmp_path / "campus")
    assert run(["evaluate", str(folder), "--protocol", "grades", "--models", "hybrid"]) == 2
    assert "known are bias, itemknn, svd, grades" in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert run(["evaluate", str(folder), "--protocol", "grades"]) == 1
    assert "0 grades are too few to evaluate on: 100 are wanted" in capsys.readouterr().err


def test_wrong_usage_is_one_line_and_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", str(_folder(tmp_path / "campus")), "--models", "oracle"]) == 2
    assert f"no model 'oracle'; known are {', '.join(NAMES)}" in " ".join(
        capsys.readouterr().err.replace("│", " ").split()
    )
    assert run(["evaluate", str(tmp_path / "nowhere")]) == 1
    assert "is no folder" in capsys.readouterr().err


def test_too_little_data_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "events.csv").write_text("user_id,course_id,type,occurred_at\nu,c,enrolled,1700000000\n")
    assert run(["evaluate", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "1 enrolments are too few to evaluate on" in error
    assert "Traceback" not in error


def test_popular_and_ease_agree_with_an_independent_referee(real_data: Path, tmp_path: Path) -> None:
    answer = tmp_path / "answer.json"
    assert run(["evaluate", str(real_data / "mars_en"), "--models", "popular,ease", "--json", str(answer)]) == 0
    found = json.loads(answer.read_text())["models"]
    for name, (recall, ndcg) in REFEREE.items():
        assert found[name]["recall@10"] == pytest.approx(recall, abs=0.015)
        assert found[name]["ndcg@10"] == pytest.approx(ndcg, abs=0.015)
