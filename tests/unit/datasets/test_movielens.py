"""The MovieLens layout."""

import gzip
from pathlib import Path

from datasets.dataset import Finding
from datasets.movielens import read
from schemas.events import Rated


def test_each_rating_is_an_enrolment_and_a_rating_of_the_same_second(tmp_path: Path) -> None:
    (tmp_path / "movies.dat").write_bytes(b"1::Caf\xe9 (1995)::Animation|Comedy\nbroken\n")
    rows = "u1::1::5::978300760\nu1::1::6::978300761\nu1::1::x::1\nu2::9::3::978300700\nu2::9::3::978300700\n"
    (tmp_path / "ratings.dat.gz").write_bytes(gzip.compress(rows.encode()))
    data = read(tmp_path)
    (course,) = data.courses
    assert (course.title, course.category, course.tags) == ("Café (1995)", "Animation", ("Animation", "Comedy"))
    assert [(event.type_name, event.user_id, event.occurred_at) for event in data.events] == [
        ("enrolled", "u2", 978300700),
        ("rated", "u2", 978300700),
        ("enrolled", "u1", 978300760),
        ("rated", "u1", 978300760),
        ("enrolled", "u1", 978300761),
    ]
    rated = data.events[3]
    assert isinstance(rated, Rated)
    assert (rated.value, rated.scale) == (5, "1-5")
    assert [(reject.file, reject.line) for reject in data.rejects] == [
        ("movies.dat", 2),
        ("ratings.dat.gz", 2),
        ("ratings.dat.gz", 3),
    ]
    assert data.report == {
        Finding.UNREADABLE_ROWS: 2,
        Finding.OFF_SCALE: 1,
        Finding.DUPLICATE_EVENTS: 2,
        Finding.UNKNOWN_COURSES: 2,
    }
