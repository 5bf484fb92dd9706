"""What a topic that may have been compacted still tells of a moment, and counts folded in memory."""

from collections.abc import Sequence

import pytest
from aiokafka import ConsumerRecord
from hypothesis import given

from recommender.fold import Fold
from schemas.courses import Course, encode_course
from schemas.topics import COURSES
from stream.past import PastCatalogue, counts_of
from tests import reference
from tests.lives import examples
from tests.reference import Logged
from tests.strategies import batches

THEN_MS = 1_000


def record(offset: int, course_id: str, title: str, appended_ms: int) -> ConsumerRecord:
    """Return a record of the catalogue."""
    value = encode_course(Course(course_id=course_id, title=title))
    return ConsumerRecord(
        topic=COURSES, partition=0, offset=offset, timestamp=appended_ms, timestamp_type=1, key=course_id.encode(),
        value=value, checksum=None, serialized_key_size=1, serialized_value_size=len(value), headers=(),
    )  # fmt: skip


LOG = (
    record(0, "a", "old", 10), record(1, "b", "old", 20), record(2, "a", "newer", 1_000),
    record(3, "b", "later", 1_001), record(4, "c", "later", 1_002),
)  # fmt: skip


def read(offsets: Sequence[int]) -> PastCatalogue:
    """Return the catalogue as of `THEN_MS` of a log in which only these offsets are left."""
    catalogue = PastCatalogue("", THEN_MS)
    for offset in offsets:
        catalogue.take(LOG[offset])
    catalogue.complete_from_present()
    return catalogue


def titles(catalogue: PastCatalogue) -> dict[str, str]:
    return {course_id: course.title for course_id, course in catalogue.courses.items()}


def test_the_catalogue_of_a_moment_is_what_was_written_up_to_it() -> None:
    catalogue = read(range(5))
    assert titles(catalogue) == {"a": "newer", "b": "old"}
    assert catalogue.is_whole and catalogue.epoch == 2


@pytest.mark.parametrize("left", [(0, 2, 3, 4), (2, 3, 4), (0, 3, 4), (3, 4)])
def test_a_course_whose_record_of_then_is_compacted_away_stands_as_it_does_now(left: tuple[int, ...]) -> None:
    catalogue = read(left)
    assert not catalogue.is_whole
    assert titles(catalogue)["b"] == "later" and "c" in titles(catalogue)


def test_what_nobody_has_changed_since_is_whole() -> None:
    assert read((0, 1, 2)).is_whole
    assert read(()).is_whole


@examples(100)
@given(log=batches)
def test_counts_folded_in_memory_are_the_references(log: list[Logged]) -> None:
    fold = Fold()
    for entry in log:
        fold.apply(entry.event, entry.appended_ms)
    counted = {(course, day): count for course, days in counts_of(fold).items() for day, count in days.items()}
    assert counted == reference.counts(log)
