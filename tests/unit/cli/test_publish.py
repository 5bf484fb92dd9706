"""Lines of `publish`."""

import time
from pathlib import Path

import pytest

from cli.publish import read_line
from datasets.detect import load
from schemas.errors import InvalidEventError

ENROLLED = b'{"type": "enrolled", "user_id": "u", "course_id": "c", "occurred_at": "2025-09-01T10:00:00Z"}'


def test_an_event_without_an_id_gets_the_one_that_import_derives(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_bytes(ENROLLED + b"\n")
    assert load(tmp_path).events == [read_line(b" " + ENROLLED)]


def test_an_id_is_kept() -> None:
    assert read_line(ENROLLED.replace(b"{", b'{"event_id": "e1", ', 1)).event_id == "e1"


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (b"{}", "type"),
        (b"nonsense", ""),
        (b"[]", ""),
        (ENROLLED.replace(b'"user_id": "u", ', b""), "user_id"),
        (ENROLLED.replace(b"enrolled", b"enroled"), "type"),
        (ENROLLED.replace(b"00Z", b"00"), "occurred_at"),
        (ENROLLED.replace(b'"2025-09-01T10:00:00Z"', b"%d" % (time.time() + 3_600)), "occurred_at"),
    ],
)
def test_what_is_wrong_with_a_line_is_named(line: bytes, field: str) -> None:
    with pytest.raises(InvalidEventError) as caught:
        read_line(line)
    assert caught.value.field == field
