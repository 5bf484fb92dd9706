"""The load generator: what it counts, and that a server that stalls is charged for all that it kept waiting."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from bench.load import Load, run

ANSWER = b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 5\r\ncontent-type: text/plain\r\n\r\nhello"


@contextmanager
def answering(answer: Callable[[int, socket.socket], None]) -> Iterator[int]:
    """Serve each connection in a thread; `answer` is given the number of the request over all of them."""
    numbers, lock = iter(range(10**9)), threading.Lock()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while connection.recv(65_536):
                with lock:
                    number = next(numbers)
                answer(number, connection)

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def load(port: int, **values: float) -> Load:
    return Load(
        port=port, paths=["/a", "/b"], headers={"X": "y"}, seconds=0.5, connections=4, rate=values.get("rate", 0)
    )


def test_a_closed_loop_sends_on_as_soon_as_it_is_answered() -> None:
    def slow(_: int, connection: socket.socket) -> None:
        time.sleep(0.02)
        connection.sendall(ANSWER)

    with answering(slow) as port:
        found = run(load(port))
    assert 4 <= found.requests <= 4 * 26
    assert (found.failed, found.unanswered) == (0, 0)
    assert found.p50_ms >= 20


@pytest.mark.parametrize("parts", [1, 7])
def test_an_open_loop_sends_what_is_due(parts: int) -> None:
    def in_parts(_: int, connection: socket.socket) -> None:
        for at in range(0, len(ANSWER), -(-len(ANSWER) // parts)):
            connection.sendall(ANSWER[at : at - (-len(ANSWER) // parts)])
            time.sleep(0.001 if parts > 1 else 0)

    with answering(in_parts) as port:
        found = run(load(port, rate=100))
    assert (found.requests, found.failed, found.unanswered) == (50, 0, 0)
    assert found.seconds >= 0.49


def test_a_stall_is_charged_to_all_that_were_due_meanwhile() -> None:
    stalled = threading.Event()

    def stalling(number: int, connection: socket.socket) -> None:
        if number == 20:
            stalled.clear()
            time.sleep(0.35)
            stalled.set()
        elif number > 20:
            stalled.wait()
        connection.sendall(ANSWER)

    with answering(stalling) as port:
        found = run(load(port, rate=200))
    # 70 of the 100 requests fell due within the stall; a generator that waits with its connections would count four.
    assert found.requests == 100
    assert found.max_ms >= 340
    assert found.p50_ms >= 50


def test_what_is_refused_is_counted() -> None:
    refused = ANSWER.replace(b"200 OK", b"429 Too Many Requests")
    with answering(lambda number, connection: connection.sendall(refused if number % 2 else ANSWER)) as port:
        found = run(load(port, rate=40))
    assert (found.requests, found.failed) == (20, 10)


def test_a_connection_that_the_server_closes_is_an_error() -> None:
    with answering(lambda _, connection: connection.close()) as port, pytest.raises((ConnectionError, OSError)):
        run(load(port))
