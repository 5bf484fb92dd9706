"""What happens around every request: measuring, limits to bodies and to writing, slashes within ids."""

import asyncio
import logging
import re
import time
from typing import Final
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.intake import Intake
from api.metrics import Metrics
from api.parameters import SLASH
from api.problems import ProblemError
from api.quotas import state_of

logger: Final = logging.getLogger(__name__)

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_ESCAPED_SLASH: Final = re.compile(rb"%2f", re.IGNORECASE)


class KeepSlashes:
    """Keeps an escaped slash within an id from splitting the path; `restore_slashes` brings it back."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            parts = _ESCAPED_SLASH.split(scope.get("raw_path") or b"")
            if len(parts) > 1:
                path = SLASH.join(unquote(part.decode("latin-1")) for part in parts)
                scope = {**scope, "path": path}
        await self._app(scope, receive, send)


def _content_length(scope: Scope) -> int:
    length = dict(scope["headers"]).get(b"content-length", b"0")
    return int(length) if length.isdigit() else 0


class LimitBody:
    """Answers 413 to a body that is too large, whether its length is announced or it comes in pieces."""

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        too_large = ProblemError(
            413, f"the body is larger than {self._max_body_bytes} bytes; send fewer events at once"
        )
        if _content_length(scope) > self._max_body_bytes:
            await too_large.response()(scope, receive, send)
            return
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_body_bytes:
                raise too_large
            return message

        await self._app(scope, limited, send)


class LimitWriting:
    """Answers 503 to what is written beyond what may be under way, before a byte is read; 408 to a body that stalls.

    Whose token it is was not verified yet: a request without a valid one is answered at once, so it holds nothing.
    """

    def __init__(self, app: ASGIApp, intake: Intake, max_body_bytes: int, body_timeout_s: float) -> None:
        self._app = app
        self._intake = intake
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in _READING:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        size = self._max_body_bytes if b"transfer-encoding" in headers else _content_length(scope)
        caller = headers.get(b"authorization", b"")
        if refused := self._intake.refusal(caller, size):
            await refused.response()(scope, receive, send)
            return
        with self._intake.under_way(caller, size):
            await self._app(scope, in_time(receive, self._body_timeout_s), send)


def in_time(receive: Receive, timeout_s: float) -> Receive:
    """Return a `receive` that gives the whole body so much time; what comes after the body may take for ever."""
    deadline_s: float | None = asyncio.get_running_loop().time() + timeout_s

    async def timed() -> Message:
        nonlocal deadline_s
        try:
            async with asyncio.timeout_at(deadline_s):
                message = await receive()
        except TimeoutError:
            raise ProblemError(408, "the body did not come in time") from None
        if not message.get("more_body"):
            deadline_s = None
        return message

    return timed


class Observe:
    """Counts and times requests by their route's template: no id ends up in a metric or a log line."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = state_of(scope).get("started", time.perf_counter()), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            seconds = time.perf_counter() - started
            self._metrics.count_request(scope["method"], route, status, seconds)
            # What is refused for now is said where it is decided, and not for each of thousands.
            level = logging.WARNING if status >= 500 and status != 503 else logging.DEBUG
            logger.log(level, "%s %s %d in %.1f ms", scope["method"], route, status, seconds * 1e3)
