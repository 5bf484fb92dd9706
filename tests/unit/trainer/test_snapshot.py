from pathlib import Path

import pytest

from trainer.snapshot import INDEX, Index, Mark, Row, SnapshotError, load, owned, save

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
