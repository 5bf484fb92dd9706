from pathlib import Path

import pytest

from schemas.errors import NotReadyError
from schemas.events import Erased, LearnerEvent, encode_event
from tests.unit.trainer.campus import START_S, enrolled
from trainer.snapshot import INDEX, Index, Mark, Row, SnapshotError, load, owned, purge, save

ROWS = [Row(i % 3, i, 1_700_000_000_000 + i, f"event {i}".encode()) for i in range(10)]
INDEX_OF_ROWS = Index(begins=[0, 0, 0], ends=[4, 3, 3], marks={0: Mark(9, 5, "ab")}, dead_letters=2, digest="d")


def test_what_is_saved_by_parts_is_loaded_whole(tmp_path: Path) -> None:
    assert load(tmp_path) == (Index(), [])
    first = save(tmp_path, INDEX_OF_ROWS, [], ROWS[:6])
    second = save(tmp_path, INDEX_OF_ROWS, first.parts, ROWS[6:])
    assert len(second.parts) == 2
    assert load(tmp_path) == (second, ROWS)
    assert save(tmp_path, INDEX_OF_ROWS, second.parts, []).parts == second.parts


def test_what_no_longer_counts_is_deleted(tmp_path: Path) -> None:
    save(tmp_path, INDEX_OF_ROWS, [], ROWS)
    (tmp_path / "half.incoming").write_bytes(b"killed while it was written")
    (only,) = save(tmp_path, INDEX_OF_ROWS, [], ROWS[1:]).parts
    assert {path.name for path in tmp_path.iterdir()} == {INDEX, only.name}
    assert load(tmp_path)[1] == ROWS[1:]


@pytest.mark.parametrize("damage", ["cut", "changed", "gone", "index", "format"])
def test_a_damaged_snapshot_is_not_believed(tmp_path: Path, damage: str) -> None:
    part = tmp_path / save(tmp_path, INDEX_OF_ROWS, [], ROWS).parts[0].name
    raw, index = part.read_bytes(), (tmp_path / INDEX).read_text()
    match damage:
        case "cut":
            part.write_bytes(raw[:-1])
        case "changed":
            part.write_bytes(raw[:40] + bytes([raw[40] ^ 1]) + raw[41:])
        case "gone":
            part.unlink()
        case "index":
            (tmp_path / INDEX).write_text(index[:-9])
        case _:
            (tmp_path / INDEX).write_text(index.replace('"format": 1', '"format": 2'))
    with pytest.raises(SnapshotError):
        load(tmp_path)


def test_one_training_at_a_time_owns_a_snapshot(tmp_path: Path) -> None:
    with owned(tmp_path / "new") as first, owned(tmp_path / "new") as second:
        assert (first, second) == (True, False)
    with owned(tmp_path / "new") as third:
        assert third


def _rows(events: list[LearnerEvent]) -> list[Row]:
    return [Row(0, i, 1_700_000_000_000, encode_event(event)) for i, event in enumerate(events)]


THROUGH_US = (START_S + 5) * 1_000_000
GONE = _rows([enrolled("gone", "c", 0), enrolled("gone", "d", 5)])
STAYING = _rows(
    [enrolled("gone", "e", 6), enrolled("stays", "c", 0), Erased(event_id="e", user_id="gone", occurred_at=START_S)]
)
OTHERS = _rows([enrolled("other", "c", 1)])


def test_a_purge_takes_what_the_erasure_covers_and_nothing_else(tmp_path: Path) -> None:
    first = save(tmp_path, INDEX_OF_ROWS, [], OTHERS)
    second = save(tmp_path, INDEX_OF_ROWS, first.parts, GONE[:1])
    third = save(tmp_path, INDEX_OF_ROWS, second.parts, [*STAYING, GONE[1]])
    (tmp_path / "half.incoming").write_bytes(GONE[0].value)
    assert purge(tmp_path, "gone", THROUGH_US) == 2
    index, rows = load(tmp_path)
    assert rows == [*OTHERS, *STAYING]
    assert (index.begins, index.ends, index.marks) == (third.begins, third.ends, third.marks)
    assert index.parts[0] == first.parts[0] and len(index.parts) == 2
    assert {path.name for path in tmp_path.iterdir()} - {"lock"} == {INDEX, *(part.name for part in index.parts)}
    assert purge(tmp_path, "gone", THROUGH_US) == 0 and load(tmp_path) == (index, rows)


def test_a_snapshot_that_cannot_be_read_is_purged_whole(tmp_path: Path) -> None:
    part = tmp_path / save(tmp_path, INDEX_OF_ROWS, [], GONE).parts[0].name
    part.write_bytes(part.read_bytes()[:-1])
    assert purge(tmp_path, "gone", THROUGH_US) == 0
    assert load(tmp_path) == (Index(), []) and not part.exists()


def test_a_purge_waits_for_a_training_that_reads(tmp_path: Path) -> None:
    save(tmp_path, INDEX_OF_ROWS, [], GONE)
    with owned(tmp_path), pytest.raises(NotReadyError, match="a training is reading the snapshot"):
        purge(tmp_path, "gone", THROUGH_US)
