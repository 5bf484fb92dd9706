"""One stream of log lines from many children."""

import io
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import TextIO

import pytest

from deploy import log_lines
from deploy.log_lines import LogLines, wants_colour


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Return that a person is looking."""
        return True


@pytest.fixture
def full_pipe() -> Iterator[TextIO]:
    """A pipe that nobody reads."""
    reader, writer = os.pipe()
    with suppress(BrokenPipeError), os.fdopen(writer, "w") as stream:
        yield stream
        os.close(reader)


def test_every_line_carries_its_name() -> None:
    stream = io.StringIO()
    with LogLines(stream) as log:
        log.say("kafka", "started")
        log.say("worker-1", "joined")
    assert stream.getvalue() == "kafka     | started\nworker-1  | joined\n"


def test_names_have_colours_of_their_own_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    with LogLines(stream) as log:
        log.say("kafka", "a")
        log.say("redis", "b")
        log.say("kafka", "c")
    first, second, third = (line.partition("m")[0] for line in stream.getvalue().splitlines())
    assert first.startswith("\x1b[") and first == third != second


def test_no_colour_where_nobody_looks_or_none_is_wanted() -> None:
    assert wants_colour(Terminal(), {})
    assert not wants_colour(Terminal(), {"NO_COLOR": "1"})
    assert not wants_colour(io.StringIO(), {})


def test_a_reader_who_stalls_stops_nobody(full_pipe: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lines, "_FLUSH_S", 0.05)
    with LogLines(full_pipe) as log:
        for _ in range(30_000):
            log.say("api", "x" * 100)


def test_dropped_lines_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lines, "_MAX_WAITING", 2)
    stream = io.StringIO()
    log = LogLines(stream)
    for number in range(5):
        log.say("api", str(number))
    with log:
        pass
    assert stream.getvalue().splitlines() == ["... 3 lines dropped", "api       | 0", "api       | 1"]
