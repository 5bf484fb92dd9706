"""Popular, trending, latest."""

from datetime import UTC, datetime

from recommender.popularity import latest, popularity_of
from schemas.courses import Course


def test_trending_counts_thirty_days_before_the_newest_day() -> None:
    scores = popularity_of({"old": {10: 100}, "edge": {70: 5}, "in": {71: 2}, "new": {100: 1}, "gone": {100: 0}})
    assert set(scores.trending) == {"in", "new"}
    assert scores.trending["in"] == 1.0 > scores.trending["new"] > 0
    assert scores.popular["old"] == 1.0
    assert "gone" not in scores.popular


def test_arrays_follow_the_order_asked_for_and_know_zero() -> None:
    popular, trending = popularity_of({"a": {1: 1}}).arrays(["x", "a"])
    assert popular.tolist() == trending.tolist() == [0.0, 1.0]
    assert popularity_of({}).arrays(["x"])[0].tolist() == [0.0]


def test_latest_is_newest_first_ties_by_id() -> None:
    def course(course_id: str, year: int | None) -> Course:
        return Course(course_id=course_id, published_at=datetime(year, 1, 1, tzinfo=UTC) if year else None)

    courses = [course("b", 2020), course("a", 2020), course("c", 2021), course("undated", None)]
    assert latest({one.course_id: one for one in courses}) == ["c", "a", "b"]
