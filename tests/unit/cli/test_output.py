"""Answers for people and for programs, and progress in a log."""

import json
import time
from pathlib import Path

import pytest

from cli.output import give, pairs, table
from cli.progress import meter

ANSWER: dict[str, object] = {"events": 12_345, "rejects_file": None, "report": {"outliers": 2}, "seconds": 1.23456}


def test_json_has_standard_output_to_itself(capsys: pytest.CaptureFixture[str]) -> None:
    give(ANSWER, "-", pairs(ANSWER))
    assert json.loads(capsys.readouterr().out) == ANSWER


def test_json_in_a_file_leaves_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    give(ANSWER, str(tmp_path / "answer.json"), pairs(ANSWER))
    assert json.loads((tmp_path / "answer.json").read_text()) == ANSWER
    shown = capsys.readouterr().out
    assert "12,345" in shown
    assert "outliers 2" in shown


def test_text_in_tables_is_not_markup(capsys: pytest.CaptureFixture[str]) -> None:
    give({}, None, table(("title",), [("[bold]Learn [C]",)]))
    assert "[bold]Learn [C]" in capsys.readouterr().out


def test_progress_in_a_log_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now_s = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    with meter("publishing", 1_000) as progress:
        for now_s[0] in (1.0, 4.0, 5.0, 6.0):
            progress.advance(100)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "publishing: 300 of 1,000, 60/s, 12 s left\n"
