"""A load generator for the bench of look-ups: `python -m bench.load`, a process of its own, told by JSON what to send.

In place of `wrk`, which no package index has. Sockets and `select` alone, and its CPU a request is part of what it
answers, so that it can be seen whether it was the bound. `select`, since it waits for microseconds, where the event
loops round up to milliseconds.

Closed loop (`rate` 0): each connection sends its next request when the last was answered. Open loop: request i is due
at start + i / rate, whatever was answered meanwhile; it goes out on the first connection that is free, and its latency
counts from when it was due. So a server that stalls is charged for all that it kept waiting (no coordinated omission).
"""

import json
import resource
import select
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

_RECEIVE: Final = 65_536
_SETTLE_S: Final = 5.0
"""How long answers are waited for after the last request was due."""


class Load(msgspec.Struct, frozen=True):
    """What to send: requests of these paths in turn, all with the same headers."""

    port: int
    paths: list[str]
    headers: dict[str, str]
    seconds: float
    connections: int = 32
    rate: float = 0.0


class Answered(msgspec.Struct, frozen=True):
    """What came of it. Latencies in ms: from the due time in an open loop, from sending in a closed one."""

    requests: int
    failed: int
    seconds: float
    cpu_us_per_request: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    unanswered: int = 0
    silent_s: float = 0.0
    """Since the last answer, at the end: long, with some unanswered, if the server stalled; short if it fell behind."""


class _Line:
    """A connection, and since when its request is due."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self._got = b""
        self._left = 0

    def fileno(self) -> int:
        """Name the socket to `select`."""
        return self.socket.fileno()

    def send(self, request: bytes, due: float) -> None:
        """Send a request."""
        self.due, self._got, self._left = due, b"", -1
        self.socket.sendall(request)

    def receive(self) -> bytes | None:
        """Take what has come; return the status line's number once the answer is whole."""
        chunk = self.socket.recv(_RECEIVE)
        if not chunk:
            raise ConnectionError("the server has closed a connection")
        if self._left < 0:
            self._got += chunk
            head = self._got.find(b"\r\n\r\n")
            if head < 0:
                return None
            self._left = head + 4 + _length(self._got[:head]) - len(self._got)
        else:
            self._left -= len(chunk)
        return self._got[9:12] if self._left <= 0 else None


def _length(head: bytes) -> int:
    at = head.index(b"content-length: ") + 16
    end = head.find(b"\r\n", at)
    return int(head[at : end if end > 0 else len(head)])


@dataclass
class _Tally:
    latencies: list[float] = field(default_factory=list)
    failed: list[bytes] = field(default_factory=list)
    answered_at: float = 0.0


def _requests(load: Load) -> list[bytes]:
    headers = "".join(f"{name}: {value}\r\n" for name, value in load.headers.items())
    return [f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n".encode() for path in load.paths]


def _take(lines: list[_Line], tally: _Tally) -> list[_Line]:
    """Take what has come on these connections; return those that are free now."""
    free = []
    for line in lines:
        status = line.receive()
        if status is not None:
            tally.answered_at = time.perf_counter()
            tally.latencies.append(tally.answered_at - line.due)
            if status != b"200":
                tally.failed.append(status)
            free.append(line)
    return free


def closed_loop(load: Load, lines: list[_Line], tally: _Tally) -> None:
    """Send on each connection as soon as it is free."""
    requests, number = _requests(load), 0
    end = time.perf_counter() + load.seconds
    free, busy = list(lines), 0
    while busy or free:
        now = time.perf_counter()
        if now < end:
            for line in free:
                line.send(requests[number % len(requests)], time.perf_counter())
                number += 1
            busy += len(free)
        if not busy:
            return
        free = _take(select.select(lines, (), (), _SETTLE_S)[0], tally)
        busy -= len(free)
        if not free and time.perf_counter() > end + _SETTLE_S:
            return


def open_loop(load: Load, lines: list[_Line], tally: _Tally) -> None:
    """Send each request when it is due, or as soon after as a connection is free."""
    requests, total = _requests(load), int(load.seconds * load.rate)
    start, number, free = time.perf_counter(), 0, deque(lines)
    busy: set[_Line] = set()
    while number < total or busy:
        now = time.perf_counter()
        while free and number < total and (due := start + number / load.rate) <= now:
            line = free.popleft()
            line.send(requests[number % len(requests)], due)
            busy.add(line)
            number += 1
        next_s = start + number / load.rate - time.perf_counter() if free and number < total else _SETTLE_S
        came = _take(select.select(list(busy), (), (), max(next_s, 0.0))[0], tally)
        busy.difference_update(came)
        free.extend(came)
        if time.perf_counter() > start + load.seconds + _SETTLE_S:
            return


def run(load: Load) -> Answered:
    """Put the load on."""
    lines, tally = [_Line(load.port) for _ in range(load.connections)], _Tally()
    used, began = _cpu_s(), time.perf_counter()
    (open_loop if load.rate else closed_loop)(load, lines, tally)
    ended = time.perf_counter()
    latencies = np.array(tally.latencies or [0.0]) * 1e3
    expected = int(load.seconds * load.rate) if load.rate else len(tally.latencies)
    return Answered(
        requests=len(tally.latencies),
        failed=len(tally.failed),
        unanswered=expected - len(tally.latencies),
        silent_s=ended - (tally.answered_at or began),
        seconds=ended - began,
        cpu_us_per_request=(_cpu_s() - used) * 1e6 / max(len(tally.latencies), 1),
        p50_ms=float(np.quantile(latencies, 0.5)),
        p99_ms=float(np.quantile(latencies, 0.99)),
        max_ms=float(latencies.max()),
    )


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    print(json.dumps(msgspec.to_builtins(run(msgspec.json.decode(sys.stdin.read(), type=Load)))))
