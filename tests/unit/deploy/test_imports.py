"""Folders that were imported, by digest."""

from pathlib import Path

import pytest

from deploy.imports import folder_digest, imported, remember_import


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of two files."""
    folder = tmp_path / "campus"
    (folder / "more").mkdir(parents=True)
    (folder / "courses.csv").write_text("course_id\n1\n")
    (folder / "more" / "events.csv").write_text("user_id\n")
    return folder


def test_the_digest_does_not_depend_on_the_place(folder: Path) -> None:
    before = folder_digest(folder)
    assert folder_digest(folder.rename(folder.with_name("elsewhere"))) == before


@pytest.mark.parametrize("change", ["content", "name", "new file"])
def test_the_digest_changes_with_what_is_in_the_folder(folder: Path, change: str) -> None:
    before = folder_digest(folder)
    courses = folder / "courses.csv"
    match change:
        case "content":
            courses.write_text("course_id\n2\n")
        case "name":
            courses.rename(folder / "learners.csv")
        case _:
            (folder / "empty").touch()
    assert folder_digest(folder) != before


def test_an_import_is_remembered(folder: Path, tmp_path: Path) -> None:
    assert imported(tmp_path) == {}
    remember_import(tmp_path, "first")
    remember_import(tmp_path, folder_digest(folder))
    assert set(imported(tmp_path)) == {"first", folder_digest(folder)}
