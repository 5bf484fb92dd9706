"""Lines of JSON on disk: what a run must still know after it was interrupted."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Journal:
    """An append-only file; a line is with the operating system when `write` returns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._drop_torn_line()

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def write(self, line: dict[str, Any]) -> None:
        """Append one line."""
        os.write(self._file, json.dumps(line, separators=(",", ":")).encode() + b"\n")

    def read(self) -> Iterator[dict[str, Any]]:
        """Yield all lines."""
        with self._path.open() as lines:
            yield from map(json.loads, lines)

    def _drop_torn_line(self) -> None:
        """Cut off what a killed run left of its last line."""
        whole = self._path.read_bytes().rfind(b"\n") + 1
        os.ftruncate(self._file, whole)
