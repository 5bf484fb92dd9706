"""`coursestream publish`: canonical events from standard input into the log, as they come."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import AsyncIterator
from typing import Final

import msgspec
import typer

from cli.options import STATE_DIR, JsonFile, StateDir
from cli.output import give, pairs
from cli.progress import Meter, meter
from cli.system import find
from datasets.canonical import LAYOUT
from datasets.collector import content_id
from schemas.errors import InvalidEventError
from schemas.events import AnyEvent, check_append_time, decode_event
from stream.publisher import Publisher, open_publisher

app = typer.Typer(add_completion=False)

_CHUNK: Final = 65_536


@app.command()
def publish(state_dir: StateDir = STATE_DIR, json_file: JsonFile = None) -> None:
    """Publish canonical events from standard input, one JSON object a line.

    An event without `event_id` gets one derived from its content. A line that is no event is refused and said on
    standard error; the others are published, and the exit status is 1.
    """
    servers = find(state_dir).kafka
    with meter("publishing events") as progress:
        published, refused = asyncio.run(_publish(servers, progress))
    answer: dict[str, object] = {"published": published, "refused": refused}
    give(answer, json_file, pairs(answer))
    raise typer.Exit(1 if refused else 0)


async def _publish(servers: str, progress: Meter) -> tuple[int, int]:
    """Publish what comes in; return how many events Kafka has acknowledged and how many lines were refused."""
    number = refused = 0
    async with open_publisher(servers) as producer:
        publisher = Publisher(producer, progress.advance)
        async for lines in _lines():
            for line in lines:
                number += 1
                try:
                    if line.strip():
                        await publisher.send_event(read_line(line))
                except InvalidEventError as error:
                    refused += 1
                    print(f"line {number}: {error}", file=sys.stderr)
            await publisher.flush()
        return publisher.acknowledged, refused


def read_line(line: bytes) -> AnyEvent:
    """Return the event of a line, or raise InvalidEventError. The id is the one `import` would derive.

    >>> event = b'{"type": "enrolled", "user_id": "u", "course_id": "c", "occurred_at": 5}'
    >>> read_line(event).event_id == read_line(event).event_id
    True
    """
    try:
        event = decode_event(line)
    except InvalidEventError as error:
        if error.field != "event_id" or error.reason != "is missing":
            raise
        event = decode_event(b'{"event_id": "-", ' + line.lstrip().removeprefix(b"{"))
        fields = {**msgspec.to_builtins(event), "occurred_at": event.occurred_us}
        derived = content_id(LAYOUT, msgspec.json.encode(fields, order="sorted").decode())
        event = msgspec.structs.replace(event, event_id=derived)
    check_append_time(event, time.time_ns() // 1_000_000)
    return event


async def _lines() -> AsyncIterator[list[bytes]]:
    """Yield the lines of standard input as they come.

    Read by a daemon thread: it may be blocked for ever, and neither the loop nor Ctrl-C may wait for it.
    """
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[bytes] = asyncio.Queue(maxsize=4)

    def read() -> None:
        chunk = b"-"
        while chunk and not loop.is_closed():
            chunk = os.read(sys.stdin.fileno(), _CHUNK)
            asyncio.run_coroutine_threadsafe(chunks.put(chunk), loop).result()

    threading.Thread(target=read, name="standard-input", daemon=True).start()
    rest = b""
    while chunk := await chunks.get():
        *lines, rest = (rest + chunk).split(b"\n")
        yield lines
    yield [rest]
