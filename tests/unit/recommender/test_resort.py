"""What a reader does with a stored list."""

import subprocess
import sys

import pytest

from recommender.resort import Filters, reason_of, resort, select
from schemas.candidates import Candidate, Source
from schemas.cards import Card


def _row(course_id: str, score: float, *components: float) -> Candidate:
    return Candidate(course_id, score, (*components, *(0.0,) * (5 - len(components))), Source.COLLABORATIVE, None)


LISTED = [_row("x", 3, 0.1, 0.9, 0.2, 0.5), _row("y", 2, 0.5, 0.8, 0.9, 0.5), _row("z", 1, 0.4, 0.0, 0.1, 0.7, 1.0)]
CARDS = {
    "x": Card("x", language="en", level="easy"),
    "y": Card("y", language="de"),
    "z": Card("z", language="en"),
    "p": Card("p", language="en"),
    "gone": Card("gone", language="en", retired=True),
}


@pytest.mark.parametrize(
    ("strategy", "order"),
    [("hybrid", "xyz"), ("content", "yxz"), ("popular", "zxy"), ("trending", "zxy"), ("collaborative", "yzx")],
)
def test_strategies(strategy: str, order: str) -> None:
    assert "".join(one.course_id for one in resort(LISTED, strategy)) == order


def test_an_unknown_strategy_is_named() -> None:
    with pytest.raises(ValueError, match="'magic' is none of hybrid"):
        resort(LISTED, "magic")


def test_an_empty_list_is_fine() -> None:
    assert resort([], "collaborative") == []


def test_filters_excluded_and_top_up() -> None:
    top_up = [_row("gone", 9), _row("p", 8), _row("z", 7)]
    found = select(LISTED, CARDS, limit=3, filters=Filters(language="EN"), excluded={"x"}, top_up=top_up)
    assert [one.course_id for one in found] == ["z", "p"]
    assert [one.course_id for one in select(LISTED, CARDS, limit=2, top_up=top_up)] == ["x", "y"]


def test_a_course_without_a_card_passes_no_filter() -> None:
    rows = [_row("bare", 1)]
    assert select(rows, {}, limit=5) == rows
    assert select(rows, {}, limit=5, filters=Filters(level="easy")) == []


def test_reasons() -> None:
    caused = Candidate("c", 1.0, (0.0,) * 5, Source.CONTENT, 0)
    reason = reason_of(caused, ["a"], {}, lambda course_id: [f"event of {course_id}"])
    assert reason["text"] == "Because you took a"
    assert reason["event_ids"] == ["event of a"]
    for source in Source:
        reason = reason_of(Candidate("c", 1.0, (0.0,) * 5, source, None), [], {})
        assert reason["kind"] == source.name.lower()
        assert reason["text"]
        assert reason["course_id"] is None


def test_readers_load_no_numpy() -> None:
    code = "import sys, recommender.resort; print(sorted({'numpy', 'scipy', 'faiss'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
