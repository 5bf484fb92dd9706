"""`coursestream evaluate` as it is called, and on real data against an independent referee."""

import json
from pathlib import Path

import pytest

from cli.app import run
from schemas.events import Enrolled
from tests.grade_school import courses as school_courses
from tests.grade_school import grades
from tests.unit.reports.html import Page
from tests.unit.split_folder import write_split
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
    assert found["models"]["hybrid"]["recall@10_low"] <= found["models"]["hybrid"]["recall@10"]
    assert {"popular", "hybrid"} <= found["buckets"]["6+"].keys()
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
    assert set(found["models"]["grades"]) >= {"rmse", "mae", "ndcg@10", "rmse_low", "rmse_high", "tests"}
    assert "grades" in (report / "evaluation.html").read_text()


def test_models_of_another_protocol_and_too_few_grades_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _folder(tmp_path / "campus")
    assert run(["evaluate", str(folder), "--protocol", "grades", "--models", "hybrid"]) == 2
    assert "known are bias, itemknn, svd, grades" in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert run(["evaluate", str(folder), "--protocol", "grades"]) == 1
    assert "0 grades are too few to evaluate on: 100 are wanted" in capsys.readouterr().err


def test_a_split_of_the_ncf_paper_is_evaluated_with_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRAIN_DIMENSIONS", "8")
    monkeypatch.setenv("TRAIN_EPOCHS", "2")
    folder, report, answer = write_split(tmp_path / "split"), tmp_path / "report", tmp_path / "answer.json"
    call = ["evaluate", str(folder), "--protocol", "ncf", "--models", "popular,hybrid", "--limit", "50"]
    assert run([*call, "--report", str(report), "--json", str(answer)]) == 0
    found = json.loads(answer.read_text())
    assert (found["protocol"], found["events"]) == ("ncf", 2_200)
    assert {"hr@10", "ndcg@10", "hr@10_full", "ndcg@10_full", "hr@10_full_low"} <= found["models"]["hybrid"].keys()
    assert found["models"]["popular"]["tests"] == 50
    assert json.loads((report / "evaluation.json").read_text())["models"] == found["models"]
    low, high = (found["models"]["popular"][f"hr@10_{end}"] for end in ("low", "high"))
    assert f"[{low:.3f}, {high:.3f}]" in capsys.readouterr().out
    assert run([*call, "--refit", "5"]) == 2
    assert "ncf fits once" in capsys.readouterr().err
    assert run(["evaluate", str(_folder(tmp_path / "campus")), "--protocol", "ncf"]) == 1
    assert "has no layout ncf; looked for" in capsys.readouterr().err


def test_popular_and_ease_agree_with_print_on_the_ncf_split(real_data: Path, tmp_path: Path) -> None:
    """HR@10 and NDCG@10 of popularity: .4533 and .2542 in Ferrari Dacrema et al. (TOIS 2021)."""
    answer = tmp_path / "answer.json"
    call = ["evaluate", str(real_data / "ncf_ml1m"), "--protocol", "ncf", "--models", "popular,ease"]
    assert run([*call, "--json", str(answer)]) == 0
    found = json.loads(answer.read_text())["models"]
    assert (found["popular"]["hr@10"], found["popular"]["ndcg@10"]) == pytest.approx((0.4538, 0.254), abs=0.001)
    assert (found["popular"]["hr@10_full"], found["popular"]["ndcg@10_full"]) == pytest.approx((0.041, 0.02), abs=0.001)
    assert found["ease"]["hr@10"] == pytest.approx(0.75, abs=0.02)
    assert found["ease"]["hr@10_full"] == pytest.approx(0.216, abs=0.02)
    assert found["ease"]["hr@10_full_ties"] > found["ease"]["hr@10_full_clean"] + 0.1


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


def test_settings_are_tuned_and_read_by_evaluate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRAIN_EPOCHS", "2")
    folder, out, answer = _folder(tmp_path / "campus"), tmp_path / "best.toml", tmp_path / "answer.json"
    assert run(["tune", str(folder), "--trials", "3", "--out", str(out), "--json", str(answer)]) == 0
    found = json.loads(answer.read_text())
    scores = [trial["ndcg@10"] for trial in found["trials"]]
    assert len(scores) == 3
    assert found["best"]["ndcg@10"] == max(scores)
    assert f"ndcg@10 {max(scores):.4f} on validation: campus, prequential" in out.read_text()
    call = ["evaluate", str(folder), "--models", "ease", "--limit", "40", "--config", str(out)]
    assert run(call) == 0
    capsys.readouterr()
    assert run(["tune", str(folder), "--out", str(tmp_path / "nowhere" / "best.toml")]) == 2
    assert "Invalid value for --out" in capsys.readouterr().err


def test_a_split_is_tuned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAIN_EPOCHS", "1")
    folder, answer = write_split(tmp_path / "split", learners=40), tmp_path / "answer.json"
    assert run(["tune", str(folder), "--protocol", "ncf", "--trials", "2", "--json", str(answer)]) == 0
    assert len(json.loads(answer.read_text())["trials"]) == 2
