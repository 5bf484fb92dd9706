"""The page of an evaluation shows whatever its answer holds."""

import json
from pathlib import Path
from typing import Any

import pytest

from reports.evaluation import page_of, write_report
from tests.unit.reports.frames import HOSTILE
from tests.unit.reports.html import Page


def answer(**more: Any) -> dict[str, Any]:
    """Return what `evaluate` answers at least, and more."""
    models = {
        "popular": {"recall@10": 0.14, "ndcg@10": 0.07, "coverage@10": 0.02, "tests": 60.0},
        "hybrid": {"recall@10": 0.42, "ndcg@10": 0.29, "coverage@10": 0.31, "tests": 60.0},
    }
    curves = {"popular": [0.1, 0.2], "hybrid": [0.4, 0.5]}
    given = {"protocol": "prequential", "dataset": "campus", "events": 900, "rejected": 0, "refits": 2}
    return {**given, "models": models, "curves": curves, **more}


def sections(page: Page) -> list[str | None]:
    """Return the ids of the sections."""
    return [attributes["id"] for attributes in page.all("section")]


def test_the_least_answer_has_metrics_and_curve() -> None:
    text = page_of(answer())
    page = Page(text)
    page.check()
    assert sections(page) == ["metrics", "over-time", "coverage"]
    assert text.count("<b>") == text.count("<b>0.4200</b>") + text.count("<b>0.2900</b>") == 2
    assert "interval" not in page.text


def test_everything_that_may_be_there_is_shown() -> None:
    models = answer()["models"]
    models["hybrid"] |= {"recall@10_low": 0.39, "recall@10_high": 0.447}
    buckets = {
        "0": {name: {"recall@10": 0.3, "tests": 11.0} for name in models},
        "6+": {"popular": {"recall@10": 0.1, "tests": 49.0}, "hybrid": {"recall@10": 0.5, "tests": 49.0}},
    }
    more = {
        "learning_curves": {"hybrid": {"loss": [0.7, 0.5], "validation ndcg@10": [0.2, None]}},
        "ablations": {"whole": {"recall@10": 0.42}, HOSTILE: {"recall@10": 0.37}},
        "dataset": HOSTILE,
    }
    page = Page(page_of(answer(models=models, buckets=buckets, **more)))
    page.check()
    assert sections(page) == ["metrics", "over-time", "history", "learning", "coverage", "ablations"]
    assert "0.390–0.447" in page.text
    assert "+0.400" in page.text  # hybrid against popular, of learners with long histories
    assert "n=49" in page.text
    assert "loss by epoch" in page.text
    assert HOSTILE in page.text
    assert "recall@10_low" not in page.text
    assert "95 % interval" in page.text


@pytest.mark.parametrize("metric", ["rmse", "mae"])
def test_of_errors_the_smallest_is_best(metric: str) -> None:
    text = page_of(answer(models={"bias": {metric: 0.25}, "grades": {metric: 0.125}}, curves={}))
    assert "<b>0.1250</b>" in text
    assert "<b>0.2500</b>" not in text


def test_errors_are_drawn_before_what_stands_in_lists_and_gains_beside_them() -> None:
    models = {"bias": {"rmse": 0.25, "hr@10": 0.5}, "grades": {"rmse": 0.125, "hr@10": 0.75, "rmse_new": 0.5}}
    gains = {"bias": {"rmse": 0.5, "low": -0.01, "high": 0.6}}
    page = Page(page_of(answer(models=models, gains=gains)))
    page.check()
    assert "rmse over time" in page.text
    assert "bias 50.0 % -1.0 % to 60.0 %" in page.text
    assert "only courses without grades before" in page.text


def test_models_without_a_known_metric_are_still_a_table() -> None:
    page = Page(page_of(answer(models={"popular": {"serendipity": 0.5, "note": "x", "mae": float("nan")}}, curves={})))
    page.check()
    assert sections(page) == ["metrics"]
    assert "serendipity 0.5000" in page.text


def test_the_answer_is_written_beside_the_page(tmp_path: Path) -> None:
    write_report(tmp_path / "new" / "report", answer())
    assert sorted(path.name for path in (tmp_path / "new" / "report").iterdir()) == [
        "evaluation.html",
        "evaluation.json",
    ]
    assert json.loads((tmp_path / "new" / "report" / "evaluation.json").read_text()) == answer()
