"""Nearest courses by text share a label if their texts do; the label itself says nothing."""

from bench.catalogue import measure
from schemas.courses import Course


def _courses(words: str) -> list[Course]:
    return [
        Course(course_id=f"c{place:03}", title=words.format(colour="red" if place % 2 else "blue"),
               category="odd" if place % 2 else "even", level="expert" if place < 5 else "")
        for place in range(120)
    ]  # fmt: skip


def test_texts_that_tell_the_label_find_it() -> None:
    found = measure(_courses("learn {colour} things"))
    assert found["labels"]["category"]["share"] > 0.98
    assert found["labels"]["category"]["chance"] == round(59 / 119, 6)
    assert (found["courses"], found["with_text"], list(found["labels"])) == (120, 120, ["category"])


def test_the_label_is_taken_out_of_the_text() -> None:
    agreement = measure(_courses("learn things"))["labels"]["category"]
    assert 0.3 < agreement["share"] < 0.7


def test_a_folder_without_labels_has_none() -> None:
    assert measure([Course(course_id="a", title="x")]) == {"courses": 1, "with_text": 1, "labels": {}}
