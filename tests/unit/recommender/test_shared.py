"""Similar, popular, trending and latest lists."""

from datetime import UTC, datetime

from recommender.model import Model
from recommender.popularity import Popularity, popularity_of
from recommender.recommend import Recommender, prepare
from recommender.shared import newest, popular, similar, trending
from schemas.candidates import Source
from schemas.courses import Course


def test_popular_by_facet(recommender: Recommender) -> None:
    lists = popular(recommender, limit=3)
    assert set(lists) == {"", "language=en", "language=de", "level=easy"}
    assert [one.course_id for one in lists[""]] == ["b7", "b6", "b5"]
    assert [one.course_id for one in lists["language=en"]] == ["a7", "a6", "a5"]


def test_trending_is_filled_with_popular(recommender: Recommender) -> None:
    found = trending(recommender, limit=3)[""]
    assert [(one.course_id, one.source) for one in found] == [
        ("a0", Source.TRENDING), ("b7", Source.POPULAR), ("b6", Source.POPULAR),
    ]  # fmt: skip


def test_retired_courses_are_in_no_list(checkerboard: Model, catalogue: dict[str, Course]) -> None:
    dated = Course(course_id="b7", retired=True, published_at=datetime(2024, 1, 1, tzinfo=UTC))
    recommender = Recommender(prepare(checkerboard), {**catalogue, "b7": dated}, popularity_of({"b7": {1: 1}}))
    lists = [*popular(recommender).values(), *newest(recommender).values()]
    lists += similar(recommender, ["b1"]).values()
    assert all(one.course_id != "b7" for listed in lists for one in listed)


def test_newest_first(checkerboard: Model, catalogue: dict[str, Course]) -> None:
    dated = {
        f"n{year}": Course(course_id=f"n{year}", language="en", published_at=datetime(year, 1, 1, tzinfo=UTC))
        for year in (2020, 2022, 2021)
    }
    recommender = Recommender(prepare(checkerboard), {**catalogue, **dated}, Popularity())
    lists = newest(recommender)
    assert [one.course_id for one in lists["language=en"]] == ["n2022", "n2021", "n2020"]
    assert lists[""][0].source == Source.NEW


def test_similar_courses_are_of_the_same_group(recommender: Recommender) -> None:
    lists = similar(recommender, ["a1", "b1", "unknown"], limit=5)
    assert {one.course_id[0] for one in lists["a1"]} == {"a"}
    assert {one.course_id[0] for one in lists["b1"]} == {"b"}
    assert "a1" not in {one.course_id for one in lists["a1"]}
    assert len(lists["a1"]) == 5
    assert lists["unknown"] == ()


def test_a_new_course_is_similar_by_content(checkerboard: Model, catalogue: dict[str, Course]) -> None:
    new = Course(course_id="new", title="sql query")
    recommender = Recommender(prepare(checkerboard), {**catalogue, "new": new}, Popularity())
    found = similar(recommender, ["new"], limit=8)["new"]
    assert {one.course_id[0] for one in found} == {"a"}
    assert found[0].source == Source.CONTENT
