"""The catalogue: shared lists, cards, similar courses, and changes by an admin."""

from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, Request
from fastapi import Query as Parameter
from redis.exceptions import RedisError
from starlette.responses import Response

from api.answers import Accepted, CourseAnswer, CourseList, FoundCourse, FoundCourses, respond
from api.documentation import answers, json_body
from api.ingest import parse_object
from api.lists import Query
from api.parameters import DEFAULT_LIMIT, CourseId, Limit, filters_of
from api.problems import invalid, not_found
from api.shared import KINDS
from api.wiring import Services, services_of
from recommender.resort import Filters
from schemas.cards import Card
from schemas.courses import Course, decode_course
from schemas.errors import NotReadyError
from schemas.topics import COURSES

router: Final = APIRouter(tags=["courses"], prefix="/v1/courses")

_TAKEN: Final = answers(Accepted, "Kafka has acknowledged the change.", status=202)


def _add_shared_list(kind: str) -> None:
    async def shared_list(
        request: Request, filters: Annotated[Filters, Depends(filters_of)], limit: Limit = DEFAULT_LIMIT
    ) -> Response:
        services = services_of(request)
        answer = await services.lists.shared(kind, Query(limit, filters))
        services.metrics.count_answer(answer.degraded)
        return respond(answer)

    shown = answers(CourseList, f"The {kind} courses, best first.")
    router.add_api_route(f"/{kind}", shared_list, name=kind, summary=f"Return the {kind} courses", responses=shown)


Title = Annotated[str, Parameter(min_length=1, max_length=200, description="Words of the title, or beginnings.")]


@router.get("", responses=answers(FoundCourses, "Courses whose titles match, best first."))
async def find_courses(request: Request, title: Title, limit: Limit = DEFAULT_LIMIT) -> Response:
    """Find courses by their titles, without regard to case and accents."""
    cards = await services_of(request).titles.find(title, limit)
    found = (FoundCourse(one.course_id, one.title, one.category, one.language, one.level) for one in cards)
    return respond(FoundCourses(tuple(found)))


for _kind in KINDS:  # before `/{course_id}`, which would match them too
    _add_shared_list(_kind)


@router.get("/{course_id}/similar", responses=answers(CourseList, "Similar courses, most similar first."))
async def similar(request: Request, course_id: CourseId, limit: Limit = DEFAULT_LIMIT) -> Response:
    """Return the courses most like one."""
    return respond(await services_of(request).lists.similar(course_id, limit))


@router.get("/{course_id}", responses=answers(CourseAnswer, "The course."))
async def course(request: Request, course_id: CourseId) -> Response:
    """Return a course."""
    shared = services_of(request).shared
    card = await shared.card(course_id)
    if card is None:
        raise not_found(f"course_id: there is no course {course_id!r}")
    return respond(CourseAnswer(**card.shown, degraded=not shared.is_fresh))


def retired(card: Card) -> Course:
    """Return the record that retires a course, with what its card still knows."""
    return Course(**{**card.shown, "retired": True})


async def _publish(services: Services, changed: Course) -> Response:
    offset = await services.publisher.publish_course(changed)
    return respond(Accepted(1, f"{COURSES}:0:{offset}"), 202)


@router.put("/{course_id}", responses=_TAKEN, status_code=202, openapi_extra=json_body("CourseBody"))
async def put_course(request: Request, course_id: CourseId) -> Response:
    """Add a course, or replace it as a whole; lists follow within seconds."""
    fields = parse_object(await request.body())
    if fields.setdefault("course_id", course_id) != course_id:
        raise invalid("course_id", "is another one than in the path")
    return await _publish(services_of(request), decode_course(msgspec.json.encode(fields)))


@router.delete("/{course_id}", responses=_TAKEN, status_code=202)
async def delete_course(request: Request, course_id: CourseId) -> Response:
    """Retire a course: it leaves every list, and learners who took it keep its title."""
    services = services_of(request)
    try:
        card = await services.shared.card(course_id)
    except (RedisError, TimeoutError, NotReadyError):  # a course that is not known can be retired, too
        card = None
    return await _publish(services, retired(card or Card(course_id)))
