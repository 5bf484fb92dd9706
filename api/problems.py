"""Errors as `application/problem+json`, whatever raised them."""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import msgspec
from aiokafka.errors import KafkaError
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from api.answers import FieldError, ProblemDetails, Rejection
from schemas.errors import InvalidEventError, NotReadyError

logger: Final = logging.getLogger(__name__)

RETRY_AFTER_S: Final = 1
CLIENT_WENT_AWAY: Final = 499
"""What metrics count for who did not wait, as nginx does. Nobody reads the answer."""
INVALID: Final = "/problems/invalid"
INVALID_EVENT: Final = "/problems/invalid-event"
UNAUTHENTICATED: Final = "/problems/unauthenticated"
FORBIDDEN: Final = "/problems/forbidden"
UNAVAILABLE: Final = "/problems/unavailable"
_UNAVAILABILITIES: Final = (KafkaError, RedisError, NotReadyError, TimeoutError)


class ProblemError(Exception):
    """A request that is not served, and why."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        kind: str = "about:blank",
        errors: Sequence[FieldError] = (),
        rejected: Sequence[Rejection] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        title = HTTPStatus(status).phrase
        self.details = ProblemDetails(kind, title, status, detail, tuple(errors), tuple(rejected))
        self.headers = headers

    def response(self) -> Response:
        """Return the response that says it."""
        content = msgspec.json.encode(self.details)
        return Response(content, self.details.status, self.headers, media_type="application/problem+json")


def unavailable(detail: str) -> ProblemError:
    """Return the problem of a dependency that is away for now: the same request may be sent again."""
    return ProblemError(503, detail, kind=UNAVAILABLE, headers={"Retry-After": str(RETRY_AFTER_S)})


def invalid(field: str, reason: str, kind: str = INVALID) -> ProblemError:
    """Return the problem of a field that is wrong."""
    detail = f"{field}: {reason}" if field else reason
    return ProblemError(422, detail, kind=kind, errors=[FieldError(field, reason)])


def not_found(detail: str) -> ProblemError:
    """Return the problem of something that does not exist."""
    return ProblemError(404, detail)


def response_to(error: Exception) -> Response:
    """Return the response that tells of an error; what is our fault is logged."""
    if isinstance(error, ProblemError):
        return error.response()
    if isinstance(error, InvalidEventError):
        return invalid(error.field, error.reason, INVALID_EVENT).response()
    if isinstance(error, _UNAVAILABILITIES):
        logger.warning("not served: %r", error)
        return unavailable("a part of the system does not answer; try again").response()
    if isinstance(error, ClientDisconnect):
        return Response(status_code=CLIENT_WENT_AWAY)
    logger.error("a request failed", exc_info=error)
    return ProblemError(500, "this is our fault; it was logged").response()


async def _on_error(_: Request, error: Exception) -> Response:
    return response_to(error)


async def _on_http(_: Request, error: Exception) -> Response:
    """404, 405 and what else the framework answers by itself."""
    if not isinstance(error, HTTPException):
        raise error
    return ProblemError(error.status_code, str(error.detail), headers=error.headers).response()


def _field_error(error: Mapping[str, Any]) -> FieldError:
    place = [str(part) for part in error["loc"]]
    return FieldError(".".join(place[1:]) or place[0], str(error["msg"]).removeprefix("Value error, "))


async def _on_validation(_: Request, error: Exception) -> Response:
    """A path or query parameter that is wrong. What was sent is not repeated: it may be long."""
    if not isinstance(error, RequestValidationError):
        raise error
    errors = [_field_error(one) for one in error.errors()]
    detail = "; ".join(f"{one.field}: {one.detail}" for one in errors)
    return ProblemError(422, detail, kind=INVALID, errors=errors).response()


def install_problems(app: FastAPI) -> None:
    """Answer every error of the application as a problem."""
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_validation)
    for kind in (ProblemError, InvalidEventError, ClientDisconnect, *_UNAVAILABILITIES, Exception):
        app.add_exception_handler(kind, _on_error)
