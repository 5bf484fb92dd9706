"""Courses by predicted grade for a grade sheet: answered and forgotten."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api.answers import GradesAnswer, respond
from api.documentation import answers, json_body
from api.lists import Query
from api.parameters import DEFAULT_LIMIT, Limit, filters_of
from api.sheet import read_sheet
from api.wiring import services_of
from recommender.resort import Filters

router: Final = APIRouter(tags=["grades"], prefix="/v1/grades")


@router.post(
    "/recommendations",
    responses=answers(GradesAnswer, "Courses that are not on the sheet, highest predicted grade first."),
    openapi_extra=json_body("GradeSheet"),
)
async def of_sheet(
    request: Request, filters: Annotated[Filters, Depends(filters_of)], limit: Limit = DEFAULT_LIMIT
) -> Response:
    """Predict grades from the sheet in the body, oldest first; nothing of it is stored."""
    sheet = read_sheet(await request.body())
    return respond(await services_of(request).grades.of_sheet(sheet, Query(limit, filters)))
