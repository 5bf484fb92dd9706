"""Which learners there are: a few of them, to pick one."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.answers import KnownLearner, KnownLearners, respond
from api.documentation import answers
from api.wiring import services_of

router: Final = APIRouter(tags=["learners"], prefix="/v1/learners")

HowMany = Annotated[int, Query(ge=1, le=100, description="How many learners at most.")]


@router.get("", responses=answers(KnownLearners, "Some learners, the most recently active first."))
async def recent(request: Request, limit: HowMany = 20) -> Response:
    """Return some learners of whom something was heard lately."""
    users = await services_of(request).learners.recent(limit)
    return respond(KnownLearners(tuple(KnownLearner(user_id) for user_id in users)))
