"""One stream of log lines from many children, each line under its child's name."""

import os
import queue
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, Self, TextIO

_COLOURS: Final = ("36", "33", "35", "32", "34", "96", "93", "95")
_MAX_WAITING: Final = 10_000
_FLUSH_S: Final = 1.0


def wants_colour(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Return whether lines on this stream should be coloured."""
    return stream.isatty() and "NO_COLOR" not in environment


class LogLines:
    """Writes prefixed lines to a stream from a thread of its own, so that a reader who stalls stops nobody.

    Lines beyond the `_MAX_WAITING` that wait are dropped, and their number is said.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._colour = wants_colour(self._stream, os.environ)
        self._prefixes: dict[str, str] = {}
        self._waiting: queue.Queue[str | None] = queue.Queue(_MAX_WAITING)
        self._dropped = 0
        self._thread = threading.Thread(target=self._write, name="log-lines", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Write what waits, for at most a second."""
        with suppress(queue.Full):
            self._waiting.put(None, timeout=_FLUSH_S)
        self._thread.join(_FLUSH_S)

    def say(self, name: str, line: str) -> None:
        """Queue one line under a name."""
        try:
            self._waiting.put_nowait(f"{self._prefix(name)}{line}\n")
        except queue.Full:
            self._dropped += 1

    def _prefix(self, name: str) -> str:
        if name not in self._prefixes:
            prefix = f"{name:<9} | "
            if self._colour:
                prefix = f"\x1b[{_COLOURS[len(self._prefixes) % len(_COLOURS)]}m{prefix}\x1b[0m"
            self._prefixes[name] = prefix
        return self._prefixes[name]

    def _write(self) -> None:
        while (line := self._waiting.get()) is not None:
            with suppress(OSError, ValueError):  # a closed stream is no reason to stop a broker
                if self._dropped:
                    dropped, self._dropped = self._dropped, 0
                    self._stream.write(f"... {dropped} lines dropped\n")
                self._stream.write(line)
                self._stream.flush()
