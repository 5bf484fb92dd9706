"""A learner's list as a stream of server-sent events: what stands, then every change of it."""

import time
from collections.abc import AsyncIterator
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, Request
from redis.exceptions import RedisError
from starlette.responses import Response, StreamingResponse

from api.answers import Recommendations
from api.auth import Principal
from api.changes import HEARTBEAT_S, Follower
from api.documentation import answers
from api.lists import Query
from api.parameters import UserId, query_of
from api.problems import ProblemError
from api.wiring import Services, services_of

router: Final = APIRouter(tags=["learners"], prefix="/v1/learners/{user_id}")

_HEARTBEAT: Final = b":\n\n"
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""No proxy may hold events back."""


async def _following(request: Request, user_id: UserId) -> AsyncIterator[Follower]:
    with services_of(request).changes.follow(user_id, request.state.principal.subject) as follower:
        yield follower


@router.get(
    "/changes",
    response_class=StreamingResponse,
    responses=answers(Recommendations, "The list now, and again after each change.", media_type="text/event-stream"),
)
async def changes(
    request: Request,
    user_id: UserId,
    query: Annotated[Query, Depends(query_of)],
    follower: Annotated[Follower, Depends(_following)],
) -> Response:
    """Follow a learner's list; each event holds what `recommendations` would answer. Ends with the token."""
    services, principal = services_of(request), request.state.principal
    events = _events(services, user_id, query, follower, principal)
    return StreamingResponse(events, headers=_HEADERS, media_type="text/event-stream")


async def _look(services: Services, user_id: str, query: Query) -> Recommendations | None:
    """Return the list as it stands; None if nothing can be said now."""
    try:
        found = await services.learners.look_up(user_id)
    except (RedisError, TimeoutError):
        found = None
    try:
        return await services.recommendations(user_id, found, query)
    except ProblemError:
        return None


def _lasting(answer: Recommendations) -> Recommendations:
    """Return an answer without what moves by itself."""
    return msgspec.structs.replace(answer, age_s=None, lag=None)


async def _events(
    services: Services, user_id: str, query: Query, follower: Follower, principal: Principal
) -> AsyncIterator[bytes]:
    sent: Recommendations | None = None
    said_at = float("-inf")
    while not services.changes.is_ended and time.time() < principal.expires_at:
        answer = await _look(services, user_id, query)
        if answer and (sent is None or _lasting(answer) != sent):
            sent, said_at = _lasting(answer), time.monotonic()
            services.count_list(answer)
            yield b"data: " + msgspec.json.encode(answer) + b"\n\n"
        elif time.monotonic() - said_at >= HEARTBEAT_S:
            said_at = time.monotonic()
            yield _HEARTBEAT
        await follower.wait(min(said_at + HEARTBEAT_S - time.monotonic(), principal.expires_at - time.time()))
