"""Where the fast lane meets the server: uvicorn's protocol, which asks the lane before it starts the application.

What the server has parsed and keeps in order (connections, pipelined requests, their ends) stays its business; an
answer of the lane spares it the task, the messages and their checks, and goes out by one write.
"""

from functools import partial
from typing import Any, cast

from fastapi import FastAPI
from starlette.types import Scope
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from api.lane import FastLane, LaneAnswer


class LaneProtocol(HttpToolsProtocol):
    """HTTP of one connection; requests that the lane understands go there first."""

    def __init__(self, lane: FastLane, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lane = lane

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        # Who takes no answers now gets them by the application, which waits for him.
        if self.flow.write_paused or not self._lane.serve(
            cast(Scope, cycle.scope), partial(self._answered, cycle, app)
        ):
            super()._start_asgi_task(cycle, app)

    def _answered(self, cycle: RequestResponseCycle, app: ASGI3Application, answer: LaneAnswer | None) -> None:
        """Take an answer, or let the application answer.

        Never sent within the call that takes it: the next request of the connection starts as soon as it is, and there
        may be thousands. Besides, answers that come together are sent together: a write may make way for who it wakes.
        """
        if cycle.disconnected:
            return
        if answer is None:
            super()._start_asgi_task(cycle, app)
        else:
            self.loop.call_soon(self._send, cycle, answer)

    def _send(self, cycle: RequestResponseCycle, answer: LaneAnswer) -> None:
        if cycle.disconnected:
            return
        cycle.response_started = cycle.response_complete = True
        if not self.transport.is_closing():
            self.transport.write(self._written(answer, cycle.keep_alive))
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()  # last: a connection that closes starts no other request

    def _written(self, answer: LaneAnswer, keep_alive: bool) -> bytes:
        parts = [STATUS_LINE[answer.status]]
        for name, value in (*self.server_state.default_headers, *answer.headers):
            parts += (name, b": ", value, b"\r\n")
        parts += (b"\r\n" if keep_alive else b"connection: close\r\n\r\n", answer.body)
        return b"".join(parts)


def protocol_of(app: FastAPI, fast_lane: bool) -> Any:
    """Return what makes the protocol of a connection, as a server's `http`."""
    return partial(LaneProtocol, FastLane(app)) if fast_lane else "httptools"
