"""Why a course stands in a list, and what is no longer said."""

from collections.abc import Sequence

import pytest

from recommender.reasons import Reason, reason_of
from schemas.candidates import Candidate, Source

COMPONENTS = (0.1, 0.2, 0.3, 0.4, 0.5)


def _why(source: Source, cause: int | None = None, still: Sequence[str] = ("a",), among: str = "") -> Reason:
    candidate = Candidate("c", 1.0, COMPONENTS, source, cause)
    return reason_of(candidate, ["a"], {"a": "Anatomy"}, lambda one: [f"event of {one}"] if one in still else [], among)


def test_the_cause_is_named_with_its_events() -> None:
    for source in (Source.COLLABORATIVE, Source.CONTENT):
        assert _why(source, 0) == {
            "kind": source.name.lower(),
            "course_id": "a",
            "text": "Because you took Anatomy",
            "event_ids": ["event of a"],
        }


def test_a_cause_without_a_title_is_named_by_its_id() -> None:
    candidate = Candidate("c", 1.0, COMPONENTS, Source.CONTENT, 0)
    assert reason_of(candidate, ["a"], {}, lambda _: ["e"])["text"] == "Because you took a"


@pytest.mark.parametrize("source", [Source.COLLABORATIVE, Source.CONTENT])
def test_a_cause_that_no_longer_counts_is_not_named(source: Source) -> None:
    assert _why(source, 0, still=()) == _why(source)
    assert _why(source)["course_id"] is None and _why(source)["event_ids"] == []


def test_every_source_has_a_text_of_its_own() -> None:
    texts = {_why(source)["text"]: _why(source)["kind"] for source in Source}
    assert len(texts) == len(Source)
    assert set(texts.values()) == {source.name.lower() for source in Source}


def test_a_popular_course_says_where_it_is_popular() -> None:
    assert _why(Source.POPULAR)["text"] == "Popular with learners"
    assert _why(Source.POPULAR, among="in Design")["text"] == "Popular in Design"
    assert _why(Source.TRENDING, among="in Design")["text"] == "Trending in the last 30 days"


def test_a_course_that_nobody_took_is_not_called_popular() -> None:
    untaken = Candidate("c", 1.0, (0.1, 0.2, 0.3, 0.0, 0.0), Source.POPULAR, None)
    assert reason_of(untaken, [], {}, lambda _: [], "in Design")["text"] == "Nobody has taken it yet"
