"""Layouts are recognised by their files; what is none says what was looked for."""

from pathlib import Path

import pytest

from datasets.detect import LAYOUTS, detect, load
from schemas.errors import UnknownLayoutError

FILES = {
    "canonical": ["events.jsonl.gz"],
    "seed": ["udemy_course_data.csv", "user_course_interactions.csv"],
    "mars": ["items_fr.csv", "implicit_ratings_fr.csv"],
    "coco": ["courses.csv.gz", "enrollments.csv"],
    "movielens": ["movies.dat", "ratings.dat.gz"],
    "udemy": ["udemy_courses.csv"],
    "edx": ["edx_courses.csv"],
    "oulad": ["assessments.csv", "studentAssessment.csv.gz"],
}


def test_every_layout_is_tried_here() -> None:
    assert FILES.keys() == LAYOUTS.keys()


@pytest.mark.parametrize("layout", sorted(FILES))
def test_a_layout_is_recognised_by_its_files_and_by_all_of_them(tmp_path: Path, layout: str) -> None:
    *first, last = FILES[layout]
    for name in first:
        (tmp_path / name).touch()
    with pytest.raises(UnknownLayoutError):
        detect(tmp_path)
    (tmp_path / last).touch()
    assert detect(tmp_path) == layout


def test_an_unknown_folder_is_one_line_that_names_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UnknownLayoutError) as caught:
        load(tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{tmp_path} is no known layout")
    assert all(f"{name}: {layout.looked_for}" in message for name, layout in LAYOUTS.items())


def test_a_layout_that_is_named_is_read_or_says_what_it_looked_for(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").touch()
    assert load(tmp_path, "canonical").events == []
    with pytest.raises(UnknownLayoutError, match=r"has no layout mars; looked for items_LANGUAGE.csv"):
        load(tmp_path, "mars")
    with pytest.raises(UnknownLayoutError, match=r"no layout 'excel'; known are auto, canonical, seed"):
        load(tmp_path, "excel")


def test_a_file_or_nothing_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").touch()
    for path in (tmp_path / "events.jsonl", tmp_path / "absent"):
        with pytest.raises(UnknownLayoutError, match="is no folder"):
            load(path)
