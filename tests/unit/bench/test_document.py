"""The document: claims and tables from the answers that are kept, whatever they hold."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bench.claims import claim
from bench.document import document, joined
from bench.results import Result, read_results
from bench.suite import SUITE
from bench.tables import STREAM, model_table
from schemas.errors import ConfigurationError


def result(bench: str, part: str, answer: dict[str, Any], error: str = "", **machine: str) -> Result:
    """Return what a part came to."""
    on = {"processor": "P, 2 cores", "versions": "Python 3", "commit": "abc", **machine}
    return Result(
        bench=bench, part=part, call=f"coursestream evaluate DATA/{bench}", settings={}, seconds=61.4,
        moment=datetime(2026, 1, 2, tzinfo=UTC), machine=on, answer=answer, error=error,
    )  # fmt: skip


def row(value: float, *metrics: str, tests: int = 50) -> dict[str, float]:
    """Return metrics of one value, with intervals."""
    bounded = {f"{one}{end}": value + by for one in metrics for end, by in (("_low", -0.05), ("", 0), ("_high", 0.05))}
    return {**bounded, "tests": float(tests)}


def stream(**values: float) -> dict[str, Any]:
    """Return the answer of a protocol with lists."""
    models = {name: row(value, "recall@10", "ndcg@10") for name, value in values.items()}
    return {"models": models, "buckets": {"0": {"popular": row(0.1, "recall@10"), **models}}, "courses": 1_000}


def test_a_claim_is_computed() -> None:
    answer = stream(popular=0.1, ease=0.25, neumf=0.4, hybrid=0.5)
    assert claim("stream", "mars", answer) == (
        "`hybrid`: recall@10 .500 [.450, .550], NDCG@10 .500 [.450, .550]; recall@10 is 1.25 x `neumf` (.400), "
        "2.00 x `ease` (.250), 5.00 x `popular` (.100)."
    )
    assert (
        claim("stream", "mars", stream(popular=0.1))
        == "`popular`: recall@10 .100 [.050, .150], NDCG@10 .100 [.050, .150]."
    )
    assert "1.25 x `ease` (.400), 5.00 x" in claim("stream", "mars", stream(popular=0.1, ease=0.4, hybrid=0.5))


def test_a_claim_and_its_table_say_the_same_interval() -> None:
    models = {"hybrid": {"recall@10": 0.4, "recall@10_low": 0.34049, "recall@10_high": 0.45451, "ndcg@10": 0.2}}
    assert ".400 [.340, .455]" in claim("stream", "mars", {"models": models})
    assert "0.4000 [0.340, 0.455]" in model_table(models, STREAM)


def test_a_model_that_finds_something_in_noise_is_named() -> None:
    assert claim("noise", "noise", stream(popular=0.051)) == (
        "No model is told apart from chance: the highest recall@10 is .051 [.0010, .101], chance .010."
    )
    assert claim("noise", "noise", stream(popular=0.0)).startswith("No model is told apart from chance: ")
    assert claim("noise", "noise", stream(popular=0.0, ease=0.2)).startswith("Above chance: ease: ")


def test_grades_say_what_is_gained() -> None:
    models = {"bias": row(0.2, "rmse"), "svd": row(0.19, "rmse"), "grades": row(0.17, "rmse")}
    gains = {name: {"rmse": 0.105, "low": 0.1, "high": 0.11} for name in ("bias", "svd")}
    said = claim("grades", "grades_oulad", {"models": models, "gains": gains})
    assert said == "`grades`: RMSE .170 [.120, .220], 10.5 % [10.0, 11.0] below the best other (`svd`, .190)."
    gains["svd"] = {"rmse": -0.02, "low": -0.03, "high": 0.01}
    said = claim("grades", "grades_oulad", {"models": models, "gains": gains})
    assert said.endswith(", 2.0 % [-1.0, 3.0] above the best other (`svd`, .190).")


def test_ablations_are_worse_better_or_not_told_apart() -> None:
    rows = {
        "hybrid": row(0.5, "recall@10"),
        **{name: {**row(0.4, "recall@10"), **row(by, "recall@10_change")}
           for name, by in (("hybrid, no text", -0.1), ("hybrid, no network", 0.2), ("hybrid, no dropout", 0.01))},
    }  # fmt: skip
    assert claim("ablation", "ablation_mars", {"ablations": rows}) == (
        "Worse than the whole, recall@10: `hybrid, no text` -.100 [-.150, -.050]. "
        "Better: `hybrid, no network` .200 [.150, .250]. Not told apart: 1 of 3."
    )


def test_the_paper_is_beside_what_was_measured() -> None:
    metrics = [f"{one}@10{end}" for one in ("hr", "ndcg") for end in ("", "_full", "_full_ties", "_full_clean")]
    answer = {"models": {"ease": row(0.5, *metrics), "hybrid": row(0.75, *metrics)}}
    text = document([result("ncf", "networks", answer)])
    assert "(1.50 x `ease` (.500))" in text
    assert "Highest read in print on these negatives: .726 / .449." in text
    assert "HR@10 of all, ties" in text and "HR@10 of 99, ties" not in text
    assert "NeuMF, 64 factors, pretrained | 0.73 | 0.447 |" in text
    assert "recollected, not checked" in text


def test_all_that_is_kept_is_in_the_document() -> None:
    speed = {"pairs_per_s": 600_000.0, "plain_pairs_per_s": 60_000.0, "ratio": 10.0, "threads": 1}
    labels = {"category": {"courses": 90, "labels": 4, "share": 0.8, "chance": 0.3, "without_neighbours": 0}}
    catalogue = {"courses": 100, "with_text": 99, "labels": labels}
    text = document(
        [
            result("mars", "networks", stream(hybrid=0.5)),
            result("mars", "others", stream(popular=0.1, ease=0.3)),
            result("coco", "others", {}, "given up after 600 s"),
            result("catalogues", "edx", {"bench": {"catalogue": catalogue}}, system="another"),
            result("training", "all", {"bench": {"training": speed}}),
        ]
    )
    assert "| `popular` | 0.1000 [0.050, 0.150]" in text
    assert "| `hybrid` | **0.5000** [0.450, 0.550]" in text
    assert "| 0 | 50 | 0.1000 [0.050, 0.150] | 0.3000 [0.250, 0.350] | **0.5000** [0.450, 0.550] |" in text
    assert "Failed: others (`coursestream evaluate DATA/coco`): given up after 600 s" in text
    assert "edx: .800 of the nearest share the category, .300 by chance." in text
    assert "10 x the plain loop: 600,000 against 60,000 pairs a second." in text
    assert "| `coursestream evaluate DATA/mars` | 50 | 61 | 2026-01-02 | abc |" in text
    assert text.count("| processor |") == 2  # two machines
    missing = next(line for line in text.splitlines() if line.startswith("Not measured yet: "))
    assert "MovieLens-1M, the NCF paper's split" in missing and "MARS, event by event" not in missing


def test_answers_of_parts_are_joined() -> None:
    whole = joined([result("mars", "a", stream(hybrid=0.5)), result("mars", "b", stream(ease=0.3))])
    assert list(whole["models"]) == ["hybrid", "ease"]
    assert set(whole["buckets"]["0"]) == {"popular", "hybrid", "ease"}


def test_what_is_no_result_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "ncf.ials.json").write_text("{}")
    with pytest.raises(ConfigurationError, match=r"ncf.ials.json is no result of a bench .*: delete it"):
        read_results(tmp_path, SUITE)
