"""`coursestream explore` as it is called."""

import json
from pathlib import Path

import pytest

from cli.app import run
from tests.unit.reports.html import Page

TITLE = "<script>alert(1)</script>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of two courses and three events, one of which cannot be read."""
    path = tmp_path / "campus"
    path.mkdir()
    (path / "courses.csv").write_text(f"course_id,title,num_subscribers\na,{TITLE},7\nb,Beta,\n")
    rows = ("u1,a,enrolled,1767603600", "u2,a,enrolled,1767690000", "u2,b,enrolled,yesterday")
    (path / "events.csv").write_text("\n".join(("user_id,course_id,type,occurred_at", *rows, "")))
    return path


def test_a_folder_becomes_a_page_and_an_answer(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, answer = tmp_path / "new" / "report", tmp_path / "answer.json"
    assert run(["explore", str(folder), "--report", str(report), "--json", str(answer)]) == 0
    page = Page((report / "exploration.html").read_text(encoding="utf-8"))
    page.check()
    assert TITLE in page.text
    found = json.loads(answer.read_text())
    assert (found["dataset"], found["layout"], found["events_by_type"]) == ("campus", "canonical", {"enrolled": 2})
    assert found["counts"]["courses"] == 2
    assert found["long_tail"]["never_taken"] == 1
    assert found["cleaning"]["rejected"] == 1
    assert "exploration.html" in capsys.readouterr().out


def test_json_has_standard_output_to_itself(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explore", str(folder), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["dataset"] == "campus"


def test_a_bad_path_is_one_line_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "report"
    assert run(["explore", str(tmp_path / "nowhere"), "--report", str(report)]) == 1
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert "is no folder" in said.err
    assert not report.exists()


def test_a_report_that_cannot_be_written_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explore", str(folder), "--report", str(folder / "events.csv")]) == 1
    said = capsys.readouterr()
    assert "events.csv" in said.err
    assert "Traceback" not in said.err
