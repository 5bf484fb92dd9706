"""The document of speeds, and the command that makes it."""

from pathlib import Path

import msgspec
import pytest

from bench.speed import SPEED, performance
from bench.suite import words_of
from cli.app import run
from tests.unit.bench.test_document import result

FRESHNESS = {"bench": {"freshness": {"rate": 500, "p99_ms": 81.25, "histogram": "< 5 ms ██ 2"}}}
GROWTH = {
    "bench": {
        "growth": [
            {"learners": 10_000, "courses": 1_000, "search": [{"index": "flat", "recall": 1.0, "ms": 0.071}]},
            {"learners": 100_000, "courses": 10_000, "search": [{"index": "ivf", "recall": 0.989, "ms": 0.93}]},
        ]
    }
}


def test_figures_rows_and_drawings_are_shown_and_what_is_missing_named() -> None:
    text = performance([result("freshness", "all", FRESHNESS), result("growth", "all", GROWTH)])
    assert "| rate | 500 |" in text and "| p99 ms | 81.2 |" in text
    assert "```\n< 5 ms ██ 2\n```" in text
    assert "| learners | 10,000 | 100,000 |" in text and "| 10,000 | ivf | 0.989 | 0.93 |" in text
    assert "Not measured yet: Look-ups; The stream; Replay; Ingest; Training." in text


def test_a_bench_that_failed_is_named_with_its_error() -> None:
    assert "Failed: no Kafka came up" in performance([result("replay", "all", {}, "no Kafka came up")])


def test_every_bench_has_one_part_that_needs_no_data() -> None:
    assert all(words_of(part, "NOTHING") == ["bench", bench.name] for bench in SPEED for part in bench.parts)
    assert all(len(bench.parts) == 1 for bench in SPEED)


def test_what_was_measured_before_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, into = tmp_path / "kept", tmp_path / "performance.md"
    kept.mkdir()
    (kept / "freshness.all.json").write_bytes(msgspec.json.encode(result("freshness", "all", FRESHNESS)))
    monkeypatch.setattr("bench.children.run_all", lambda *_: [])
    assert run(["bench", "all", "--only", "training", "--into", str(into), "--kept", str(kept)]) == 0
    assert "81.2" in into.read_text()
    assert run(["bench", "all", "--only", "nothing", "--into", str(into), "--kept", str(kept)]) == 2
