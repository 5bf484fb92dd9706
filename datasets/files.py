"""Rows of CSV and JSON-lines files, gzipped or not, with the line each begins at; a bad row never ends the reading."""

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TextIO

import msgspec

from datasets.dataset import Place
from schemas.errors import UnknownLayoutError

RejectRow = Callable[[Place, str], None]
"""Called with the place of a row that cannot be read and the reason."""

_CUT_SHORT: Final = (EOFError, zlib.error, gzip.BadGzipFile)


def find_file(folder: Path, stem: str, endings: tuple[str, ...]) -> Path | None:
    """Return the one file of this stem and any of the endings, gzipped or not; None if there is none.

    Raises
    ------
    UnknownLayoutError
        If there are several: which one counts is not ours to guess.
    """
    names = [f"{stem}{ending}{packed}" for ending in endings for packed in ("", ".gz")]
    found = [folder / name for name in names if (folder / name).is_file()]
    if len(found) > 1:
        raise UnknownLayoutError(f"{folder} holds {' and '.join(path.name for path in found)}: keep one of them")
    return found[0] if found else None


def open_text(path: Path, encoding: str = "utf-8-sig") -> TextIO:
    """Open a text file, gzipped if its name ends in .gz; bytes that do not decode become lone surrogates."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding=encoding, errors="surrogateescape", newline="")
    return path.open(encoding=encoding, errors="surrogateescape", newline="")


def is_text(value: str) -> bool:
    """Return whether all bytes of a value did decode.

    >>> is_text("Über SQL"), is_text("caf\\udce9")
    (True, False)
    """
    return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)


def text_lines(path: Path, reject: RejectRow, encoding: str = "utf-8-sig") -> Iterator[tuple[Place, str]]:
    """Yield the lines that are not blank, without their ends."""
    line = 0
    with open_text(path, encoding) as file:
        try:
            for line, text in enumerate(file, 1):
                if not is_text(text):
                    reject(Place(path.name, line), f"is not {encoding.removesuffix('-sig').upper()}")
                elif text.strip():
                    yield Place(path.name, line), text.rstrip("\r\n")
        except _CUT_SHORT as error:
            reject(Place(path.name, line + 1), f"the file breaks off here: {error}")


def csv_rows(path: Path, reject: RejectRow) -> Iterator[tuple[Place, dict[str, str]]]:
    """Yield the rows of a CSV file with a header, as column -> text."""
    with open_text(path) as file:
        reader = csv.reader(file)
        header: list[str] | None = None
        while True:
            place = Place(path.name, reader.line_num + 1)
            try:
                values = next(reader, None)
            except csv.Error as error:
                reject(place, f"is no CSV: {error}")
                continue
            except _CUT_SHORT as error:
                reject(place, f"the file breaks off here: {error}")
                return
            if values is None:
                return
            if header is None:
                header = [name.strip() for name in values]
            elif values:
                row = _row(place, header, values, reject)
                if row is not None:
                    yield place, row


def _row(place: Place, header: list[str], values: list[str], reject: RejectRow) -> dict[str, str] | None:
    if len(values) != len(header):
        reject(place, f"has {len(values)} columns, the header has {len(header)}")
        return None
    if not all(map(is_text, values)):
        reject(place, "is not UTF-8")
        return None
    return dict(zip(header, values, strict=True))


def json_rows(path: Path, reject: RejectRow) -> Iterator[tuple[Place, dict[str, object]]]:
    """Yield the objects of a JSON-lines file."""
    for place, text in text_lines(path, reject):
        try:
            row = msgspec.json.decode(text)
        except msgspec.DecodeError as error:
            reject(place, f"is no JSON: {error}")
        except RecursionError:
            reject(place, "is nested too deep")
        else:
            if isinstance(row, dict):
                yield place, row
            else:
                reject(place, "is no JSON object")
