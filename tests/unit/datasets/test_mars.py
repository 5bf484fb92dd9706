"""The MARS layout: what an opening is, what a rating is, what contradicts."""

from pathlib import Path

import pytest

from datasets.dataset import Dataset, Finding
from datasets.mars import read
from schemas.events import Progressed, Rated

ITEMS = "item_id,language,name,nb_views,description,created_at,Difficulty,Job,Software,Theme,duration,type\n"
ITEM = (
    "510,en,What is OneDrive?,1114.0,Store documents.,2016,Beginner,['Sales'],['OneDrive'],"
    "\"['Discover', 'Share']\",42.0,tutorial\n"
)
BARE = "511,en,Share,N/A,N/A,2018,N/A,[],[],[],81.0,tutorial\n"


def dataset(folder: Path, views: str = "", ratings: str = "", items: str = ITEM + BARE, users: str = "") -> Dataset:
    files = {
        "items_en.csv": ITEMS + items,
        "implicit_ratings_en.csv": "item_id,user_id,created_at\n" + views,
        "explicit_ratings_en.csv": "user_id,item_id,watch_percentage,created_at,rating\n" + ratings,
        "users_en.csv": "user_id,job\n" + users,
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return read(folder)


def story(data: Dataset) -> list[tuple[str, str]]:
    """Return (type, minute) of the events; all tests play within one hour."""
    return [(event.type_name, f"{event.occurred_us // 60_000_000 % 60:02d}") for event in data.events]


def test_an_item_is_mapped_column_by_column(tmp_path: Path) -> None:
    full, bare = dataset(tmp_path).courses
    assert (full.title, full.description, full.language) == ("What is OneDrive?", "Store documents.", "en")
    assert (full.level, full.category, full.tags) == ("beginner", "Discover", ("OneDrive", "Sales", "Share"))
    assert (full.duration_minutes, full.num_subscribers) == (0.7, None)
    assert full.published_at is not None
    assert full.published_at.isoformat() == "2016-01-01T00:00:00+00:00"
    assert (bare.description, bare.level, bare.category, bare.tags) == ("", "", "", ())


def test_the_first_opening_is_the_enrolment_whatever_the_order_of_the_rows(tmp_path: Path) -> None:
    views = [f"510,u1,2020-01-01 10:{minute}:00\n" for minute in ("30", "10", "20")]
    data = dataset(tmp_path, "".join(views) + "511,u1,2020-01-01 10:40:00\n")
    assert story(data) == [("enrolled", "10"), ("viewed", "20"), ("viewed", "30"), ("enrolled", "40")]


def test_opening_twice_in_a_second_is_a_duplicate(tmp_path: Path) -> None:
    data = dataset(tmp_path, "510,u1,2020-01-01 10:10:00\n" * 3)
    assert story(data) == [("enrolled", "10")]
    assert data.report == {Finding.DUPLICATE_EVENTS: 2}


def test_a_rating_tells_progress_too(tmp_path: Path) -> None:
    ratings = "u1,510,40,2020-01-01 10:20:00,4\nu2,510,100,2020-01-01 10:30:00,10\n"
    data = dataset(tmp_path, "510,u1,2020-01-01 10:10:00\n510,u2,2020-01-01 10:11:00\n", ratings)
    assert story(data)[2:] == [("progressed", "20"), ("rated", "20"), ("completed", "30"), ("rated", "30")]
    progressed, rated = data.events[2:4]
    assert isinstance(progressed, Progressed)
    assert isinstance(rated, Rated)
    assert (progressed.value, rated.value, rated.scale) == (0.4, 4, "1-10")


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        ("", [("enrolled", "20"), ("completed", "20"), ("rated", "20")]),
        ("510,u1,2020-01-01 10:20:00\n", [("enrolled", "20"), ("completed", "20"), ("rated", "20")]),
        ("510,u1,2020-01-01 10:30:00\n", [("enrolled", "20"), ("completed", "20"), ("rated", "20"), ("viewed", "30")]),
    ],
)
def test_who_rates_has_opened(tmp_path: Path, view: str, expected: list[tuple[str, str]]) -> None:
    assert story(dataset(tmp_path, view, "u1,510,100,2020-01-01 10:20:00,10\n")) == expected


def test_of_two_ratings_of_one_second_the_one_that_watched_more_counts(tmp_path: Path) -> None:
    rows = ["u1,510,100,2020-01-01 10:20:00,10\n", "u1,510,5,2020-01-01 10:20:00,1\n"]
    for ratings in (rows, rows[::-1]):
        data = dataset(tmp_path, ratings="".join(ratings))
        assert story(data) == [("enrolled", "20"), ("completed", "20"), ("rated", "20")]
        assert data.report == {Finding.CONTRADICTIONS: 1}
    assert dataset(tmp_path, ratings=rows[0] * 2).report == {Finding.DUPLICATE_EVENTS: 1}


@pytest.mark.parametrize(
    ("rating", "kinds", "finding"),
    [
        ("u1,510,120,2020-01-01 10:20:00,5", ["enrolled", "rated"], Finding.OUTLIERS),
        ("u1,510,50,2020-01-01 10:20:00,11", ["enrolled", "progressed"], Finding.OFF_SCALE),
        ("u1,510,half,2020-01-01 10:20:00,5", [], Finding.UNREADABLE_ROWS),
        ("u1,510,50,noon,5", [], Finding.UNPARSABLE_DATES),
    ],
)
def test_values_off_their_scale(tmp_path: Path, rating: str, kinds: list[str], finding: Finding) -> None:
    data = dataset(tmp_path, ratings=rating + "\n")
    assert [event.type_name for event in data.events] == kinds
    assert data.report == {finding: 1}
    assert [reject.line for reject in data.rejects] == ([] if finding == Finding.OUTLIERS else [2])


def test_the_job_is_the_goal(tmp_path: Path) -> None:
    data = dataset(tmp_path, "510,u1,2020-01-01 10:10:00\n", users="u1,marketing\nu2,N/A\n")
    assert [(row.user_id, row.goals, row.interests) for row in data.learners] == [("u1", ("marketing",), None)]


def test_a_list_that_is_none_is_counted(tmp_path: Path) -> None:
    data = dataset(tmp_path, items=BARE.replace("[],[],[]", "[,OneDrive,[]").replace("81.0", "long"))
    assert data.report == {Finding.UNPARSABLE_LISTS: 2, Finding.UNPARSABLE_DURATIONS: 1}


def test_users_and_ratings_are_optional(tmp_path: Path) -> None:
    dataset(tmp_path, "510,u1,2020-01-01 10:10:00\n")
    (tmp_path / "users_en.csv").unlink()
    (tmp_path / "explicit_ratings_en.csv").unlink()
    assert story(read(tmp_path)) == [("enrolled", "10")]
