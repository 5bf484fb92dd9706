"""The small sample of `demo`."""

from collections import Counter
from pathlib import Path

from cli.sample import LEARNERS, write_sample
from datasets.detect import load
from schemas.events import Enrolled


def test_the_sample_is_a_clean_canonical_folder(tmp_path: Path) -> None:
    dataset = load(write_sample(tmp_path / "sample"))
    assert (dataset.layout, dataset.rejects, dataset.report) == ("canonical", [], {})
    assert (len(dataset.courses), dataset.num_learners) == (60, LEARNERS)


def test_the_sample_is_the_same_every_time(tmp_path: Path) -> None:
    one, other = write_sample(tmp_path / "one"), write_sample(tmp_path / "other")
    assert [path.read_bytes() for path in sorted(one.iterdir())] == [
        path.read_bytes() for path in sorted(other.iterdir())
    ]


def test_most_learners_have_a_plain_taste(tmp_path: Path) -> None:
    dataset = load(write_sample(tmp_path))
    subject = {course.course_id: course.category for course in dataset.courses}
    taken: dict[str, Counter[str]] = {}
    for event in dataset.events:
        if isinstance(event, Enrolled):
            taken.setdefault(event.user_id, Counter())[subject[event.course_id]] += 1
    plain = sum(counts.most_common(1)[0][1] >= 0.6 * counts.total() for counts in taken.values())
    assert plain > 0.9 * len(taken)
