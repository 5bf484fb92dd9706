"""The client that waits through refusals for now, before a real HTTP server that refuses by a script."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from cli.patient import PatientApi
from deploy.ports import free_port
from schemas.errors import ConfigurationError, NotReadyError

HANG_UP = 0


class Server(ThreadingHTTPServer):
    """Answers with one status of the script a request, then with 200; it notes the paths it was asked for."""

    def __init__(self, script: list[int], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.script, self.asked = script, [""][:0]

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server

    def do_GET(self) -> None:  # the base class's name
        """Answer by the script."""
        self.server.asked.append(self.path)
        status = self.server.script.pop(0) if self.server.script else 200
        if status == HANG_UP:
            self.connection.close()
            return
        body = b'{"fine": true}' if status == 200 else b'{"detail": "because"}'
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 429:
            self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *_: Any) -> None:  # noqa: A002  # the base class's name
        """Log nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    """Serve until the test ends."""
    with Server([]) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


async def test_what_is_refused_for_now_is_asked_again(server: Server) -> None:
    server.script[:] = [503, 429, 408, HANG_UP]
    async with PatientApi(server.url, "token") as api:
        assert await api.get("/list", limit=3) == {"fine": True}
        assert api.retries == 4
    assert server.asked == ["/list?limit=3"] * 5


async def test_nobody_there_is_waited_for() -> None:
    port = free_port()
    running = Server([], port)
    threading.Timer(0.3, running.serve_forever).start()
    async with PatientApi(running.url, "token") as api:
        assert await api.get("/") == {"fine": True}
    running.shutdown()
    running.server_close()


@pytest.mark.parametrize(
    ("status", "error"), [(403, ConfigurationError), (422, ConfigurationError), (500, NotReadyError)]
)
async def test_what_is_refused_for_good_is_an_error(server: Server, status: int, error: type[Exception]) -> None:
    server.script[:] = [status]
    async with PatientApi(server.url, "token") as api:
        with pytest.raises(error, match=f"{status}: because"):
            await api.get("/")
        assert api.retries == 0
