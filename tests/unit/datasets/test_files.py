"""Reading goes on after bad bytes, broken rows and files that break off."""

import gzip
from pathlib import Path

import pytest

from datasets.dataset import Place
from datasets.files import csv_rows, find_file, json_rows, text_lines
from schemas.errors import UnknownLayoutError


class Rejected(list[tuple[int, str]]):
    def __call__(self, place: Place, reason: str) -> None:
        self.append((place.line, reason))


def test_a_row_is_at_the_line_where_it_begins(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('\ufeffa,b\n1,"x\ny"\n\n2,z\n', encoding="utf-8")
    rejected = Rejected()
    assert [(place.line, row) for place, row in csv_rows(path, rejected)] == [
        (2, {"a": "1", "b": "x\ny"}),
        (5, {"a": "2", "b": "z"}),
    ]
    assert not rejected


def test_bytes_that_are_not_utf8_cost_one_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n1,caf\xe9\n2,caf\xc3\xa9\n")
    rejected = Rejected()
    assert [row["b"] for _, row in csv_rows(path, rejected)] == ["café"]
    assert rejected == [(2, "is not UTF-8")]


def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"")
    assert list(csv_rows(path, Rejected())) == []


@pytest.mark.parametrize("reader", [csv_rows, json_rows])
def test_a_gzip_that_breaks_off_keeps_what_was_read(tmp_path: Path, reader: object) -> None:
    is_csv = reader is csv_rows
    rows = ["a"] + [str(i) for i in range(50_000)] if is_csv else [f'{{"a": {i}}}' for i in range(50_000)]
    path = tmp_path / "a.gz"
    packed = gzip.compress("\n".join(rows).encode())
    path.write_bytes(packed[: len(packed) // 2])
    rejected = Rejected()
    found = list(csv_rows(path, rejected) if is_csv else json_rows(path, rejected))
    assert 1_000 < len(found) < 50_000
    assert len(rejected) == 1
    assert "breaks off here" in rejected[0][1]


def test_what_is_no_gzip_is_rejected_at_its_first_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(b"a,b\n1,2\n")
    rejected = Rejected()
    assert list(csv_rows(path, rejected)) == []
    assert [line for line, _ in rejected] == [1]


def test_latin_1_is_read_as_such(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    path.write_bytes(b"1::Caf\xe9\r\n\r\n")
    assert list(text_lines(path, Rejected(), "latin-1")) == [(Place("a.dat", 1), "1::Café")]


def test_two_files_of_one_name_are_not_guessed_between(tmp_path: Path) -> None:
    assert find_file(tmp_path, "events", (".csv", ".jsonl")) is None
    (tmp_path / "events.csv").touch()
    assert find_file(tmp_path, "events", (".csv", ".jsonl")) == tmp_path / "events.csv"
    (tmp_path / "events.jsonl.gz").touch()
    with pytest.raises(UnknownLayoutError, match=r"events.jsonl.gz and events.csv: keep one"):
        find_file(tmp_path, "events", (".jsonl", ".csv"))
