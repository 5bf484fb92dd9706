"""The fast lane of ingest: events that a known caller publishes, taken before the framework, which costs more.

The same steps as the ordinary way's, by the same functions. What is to be refused unread (a token that is not known, a
quota that is used up, a body too large or of unknown length, too much under way) goes the ordinary way.
"""

import time
from typing import Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.access import ACCESS, is_allowed
from api.auth import Principal
from api.ingest import split_body
from api.intake import Intake
from api.middleware import in_time
from api.problems import response_to
from api.quotas import Allowance, state_of
from api.routes_events import MOST_KEY_CHARACTERS, ingest
from api.wiring import Services

ROUTE: Final = "/v1/events"
_PATH: Final = ROUTE.encode()
_ACCESS: Final = ACCESS["POST", ROUTE]
_ONCE: Final = (b"authorization", b"content-length", b"idempotency-key", b"transfer-encoding")


class _Announced(NamedTuple):
    """What the headers say."""

    authorization: bytes
    token: str
    size: int
    key: str | None


def _announced(scope: Scope) -> _Announced | None:
    """Return what the headers say, or None if that is unusual."""
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in _ONCE:
            if name in found:
                return None
            found[name] = value
    length, key = found.get(b"content-length", b""), found.get(b"idempotency-key", b"").decode("latin-1")
    scheme, _, token = found.get(b"authorization", b"").partition(b" ")
    is_usual = scheme == b"Bearer" and length.isdigit() and b"transfer-encoding" not in found
    if not is_usual or len(key) > MOST_KEY_CHARACTERS:
        return None
    return _Announced(found[b"authorization"], token.decode("latin-1"), int(length), key or None)


class IngestLane:
    """Stands in front of what else happens around a request."""

    def __init__(self, app: ASGIApp, intake: Intake, max_body_bytes: int, body_timeout_s: float) -> None:
        self._app = app
        self._intake = intake
        self._max_body_bytes = max_body_bytes
        self._body_timeout_s = body_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_ingest = scope["type"] == "http" and scope["method"] == "POST" and scope["raw_path"] == _PATH
        announced = _announced(scope) if is_ingest else None
        if not (announced and await self._serve(announced, scope, receive, send)):
            await self._app(scope, receive, send)

    async def _serve(self, announced: _Announced, scope: Scope, receive: Receive, send: Send) -> bool:
        """Take the events and answer; False: the request is to be passed on."""
        services: Services = scope["app"].state.services
        authorization, token, size, key = announced
        principal = services.verifier.known(token)
        if principal is None or not is_allowed(_ACCESS, principal, None):
            return False
        if size > self._max_body_bytes or not self._intake.has_room(authorization, size):
            return False
        state, started = state_of(scope), time.perf_counter()
        state["allowance"] = allowance = services.quotas.take(principal)
        if allowance and not allowance.granted:
            return False
        with self._intake.under_way(authorization, size):
            request = Request(scope, in_time(receive, self._body_timeout_s))
            response = await _response(services, principal, request, key)
        await _answer(response, allowance, scope, receive, send)
        services.metrics.count_request("POST", ROUTE, response.status_code, time.perf_counter() - started)
        return True


async def _response(services: Services, principal: Principal, request: Request, key: str | None) -> Response:
    try:
        return await ingest(services, principal, split_body(await request.body()), key)
    except Exception as error:
        return response_to(error)


async def _answer(response: Response, allowance: Allowance | None, scope: Scope, receive: Receive, send: Send) -> None:
    response.raw_headers.extend(allowance.headers if allowance else ())
    await response(scope, receive, send)
