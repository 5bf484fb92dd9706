"""What a reader does with a stored list: strategies, filters, places for new courses."""

import subprocess
import sys
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.resort import EXPLORATION, Filters, allowed, by_popularity, explore, resort
from schemas.candidates import (
    STRATEGIES,
    Candidate,
    CandidateList,
    Source,
    Version,
    pack_candidates,
    unpack_candidates,
)
from schemas.cards import Card


def _row(course_id: str, score: float, *components: float, source: Source = Source.COLLABORATIVE) -> Candidate:
    return Candidate(course_id, score, (*components, *(0.0,) * (5 - len(components))), source, 0)


def _ids(candidates: Sequence[Candidate]) -> str:
    return "".join(one.course_id for one in candidates)


LISTED = [_row("x", 3, 0.1, 0.9, 0.2, 0.5), _row("y", 2, 0.5, 0.8, 0.9, 0.5), _row("z", 1, 0.4, 0.0, 0.1, 0.7, 1.0)]
CARDS = {
    "x": Card("x", language="en", level="easy"),
    "y": Card("y", language="de", prerequisites=("a", "b")),
    "z": Card("z", language="en", category="Design"),
    "p": Card("p", language="en"),
    "gone": Card("gone", language="en", retired=True),
}


@pytest.mark.parametrize(
    ("strategy", "order"),
    [("hybrid", "xyz"), ("content", "yxz"), ("popular", "zxy"), ("trending", "zxy"), ("collaborative", "yzx")],
)
def test_strategies(strategy: str, order: str) -> None:
    assert _ids(resort(LISTED, strategy)) == order


def test_an_unknown_strategy_is_named() -> None:
    with pytest.raises(ValueError, match="'magic' is none of hybrid"):
        resort(LISTED, "magic")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_empty_list_is_fine(strategy: str) -> None:
    assert resort([], strategy) == []


def test_courses_that_the_model_does_not_know_come_last_under_collaborative() -> None:
    rows = [
        _row("n", 4, -3.0, 0.0, 0.9, source=Source.CONTENT),  # new, and near in content: the least logit, no item-item
        _row("a", 3, 2.0, -0.8),
        _row("b", 2, -2.9, -0.9),
        _row("m", 1, -3.0, 0.0, source=Source.NEW),
    ]
    packed = unpack_candidates(pack_candidates(CandidateList(Version(1, 1, 1, 1), 1, ("h",), tuple(rows))))
    for listed in (rows, packed.candidates):
        found = resort(listed, "collaborative")
        assert _ids(found) == "abnm"
        assert [one.source for one in found] == [Source.COLLABORATIVE] * 2 + [Source.CONTENT, Source.NEW]


def test_the_source_is_the_strategys_where_it_speaks_of_a_course() -> None:
    rows = [_row("a", 2, 0.3, 0, 0.5, 0.1, 0.2), _row("b", 1, 0, 0.1, 0.0, 0.3, source=Source.INTERESTS)]
    by_strategy = {name: {one.course_id: (one.source, one.cause) for one in resort(rows, name)} for name in STRATEGIES}
    assert by_strategy == {
        "hybrid": {"a": (Source.COLLABORATIVE, 0), "b": (Source.INTERESTS, 0)},
        "collaborative": {"a": (Source.COLLABORATIVE, 0), "b": (Source.COLLABORATIVE, 0)},
        "content": {"a": (Source.CONTENT, 0), "b": (Source.INTERESTS, 0)},
        "popular": {"a": (Source.POPULAR, None), "b": (Source.POPULAR, None)},
        "trending": {"a": (Source.TRENDING, None), "b": (Source.POPULAR, None)},
    }


def test_what_trends_equally_is_ordered_by_popularity() -> None:
    rows = [_row("a", 2, 0, 0, 0, 0.1), _row("b", 1, 0, 0, 0, 0.9), _row("c", 0, 0, 0, 0, 0.0, 0.5)]
    assert _ids(resort(rows, "trending")) == "cba"


def test_the_most_popular_are_those_of_all_courses_not_of_the_own_list() -> None:
    shared = [_row("p", 1.0), _row("x", 0.6), _row("q", 0.55, source=Source.POPULAR)]
    found = by_popularity(LISTED, shared, "popular")
    assert [(one.course_id, one.score) for one in found] == [
        ("p", 1.0),
        ("z", 0.7),
        ("x", 0.6),
        ("q", 0.55),
        ("y", 0.5),
    ]
    assert _ids(by_popularity([], shared, "popular")) == "pxq"


def test_filters_and_excluded() -> None:
    rows = [*LISTED, _row("gone", 9), _row("p", 8), _row("z", 7)]
    assert _ids(list(allowed(rows, CARDS, Filters(language="EN"), {"x"}))) == "zp"
    assert _ids(list(allowed(rows, CARDS, Filters(), frozenset()))) == "xyzp"
    assert _ids(list(allowed(rows, CARDS, Filters(category="design"), frozenset()))) == "z"


@pytest.mark.parametrize(("completed", "shown"), [(None, "xyz"), (set(), "xz"), ({"a"}, "xz"), ({"a", "b"}, "xyz")])
def test_prerequisites(completed: set[str] | None, shown: str) -> None:
    assert _ids(list(allowed(LISTED, CARDS, Filters(completed=completed), frozenset()))) == shown


@pytest.mark.parametrize("filters", [Filters(level="easy"), Filters(completed=frozenset())])
def test_a_course_without_a_card_passes_no_filter(filters: Filters) -> None:
    rows = [_row("bare", 1)]
    assert list(allowed(rows, {}, Filters(), frozenset())) == rows
    assert list(allowed(rows, {}, filters, frozenset())) == []


LONG = [_row(f"c{i}", 100 - i) for i in range(40)]
NEW = [_row(f"n{i}", -i, source=Source.NEW) for i in range(3)]
draws = st.integers(0, 2**64 - 1)


@given(st.integers(0, 40), draws)
def test_exploration_takes_its_share_of_the_last_places(limit: int, draw: int) -> None:
    found = explore(LONG[:limit], [*LONG[limit:], *NEW], draw)
    new = [one for one in found if one.source == Source.NEW]
    assert len(found) == limit and len({one.course_id for one in found}) == limit
    assert found[: limit - len(new)] == LONG[: limit - len(new)]
    assert found[limit - len(new) :] == new
    assert int(limit * EXPLORATION) <= len(new) <= int(limit * EXPLORATION) + 1 or (limit < 2 and not new)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_half_of_the_lists_of_ten_explore_and_every_new_course_gets_its_turn() -> None:
    draws = [2**64 * i // 600 + i for i in range(600)]
    last = [explore(LONG[:10], NEW, draw)[-1] for draw in draws]
    assert sum(one.source == Source.NEW for one in last) == 300
    assert {one.course_id for one in last} == {"c9", "n0", "n1", "n2"}


def test_the_first_place_is_never_given_away() -> None:
    assert explore(LONG[:1], NEW, 2**64 - 1) == LONG[:1]


@given(draws)
def test_without_new_courses_nothing_is_explored(draw: int) -> None:
    assert explore(LONG[:20], LONG[20:], draw) == LONG[:20]


def test_a_new_course_that_stands_there_already_is_not_shown_twice() -> None:
    chosen = [*LONG[:18], *NEW[:2]]
    assert {one.course_id for one in explore(chosen, [NEW[2]], 2**64 - 1)} >= {one.course_id for one in LONG[:18]}
    assert sorted(explore(chosen, [], 2**64 - 1)) == sorted(chosen)
    last_but_one = [*LONG[:38], NEW[0], LONG[38]]
    shown = explore(last_but_one, [], 0)
    assert sorted(shown) == sorted(last_but_one)


def test_readers_load_no_numpy() -> None:
    modules = "recommender.resort, recommender.reasons, recommender.diversity"
    code = f"import sys, {modules}; print(sorted({{'numpy', 'scipy', 'faiss'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
