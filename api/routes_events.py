"""Ingest: events, and short forms of the most frequent ones."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from api.answers import Accepted, Covered, iso, respond
from api.auth import Principal
from api.documentation import answers, json_body
from api.ingest import Batch, Source, authorise_events, parse_object, read_events, split_body
from api.parameters import CourseId, UserId
from api.publishing import Published, greatest
from api.wiring import Services, services_of
from schemas.events import EVENT_TYPES

router: Final = APIRouter(tags=["events"])

MOST_KEY_CHARACTERS: Final = 500
IdempotencyKey = Annotated[
    str | None,
    Header(
        max_length=MOST_KEY_CHARACTERS, description="Events without an `event_id` get theirs from it and their place."
    ),
]
_TAKEN: Final = answers(Accepted, "Kafka has acknowledged every valid event.", status=202)


async def ingest(services: Services, principal: Principal, candidates: list[Any], key: str | None) -> Response:
    """Check, authorise and publish events; 202 once Kafka keeps them all and readers respect them."""
    batch = await read_events(candidates, Source(datetime.now(UTC), principal.subject, key))
    authorise_events(batch.events, principal)
    published = await services.publisher.publish(batch.events, batch.values)
    services.metrics.count_ingest(batch.events, batch.rejected)
    position = ",".join(map(str, greatest([one.position for one in published])))
    return respond(Accepted(len(batch.events), position, tuple(batch.rejected), tuple(_covered(batch, published))), 202)


def _covered(batch: Batch, published: Sequence[Published]) -> Iterator[Covered]:
    """Yield the events that an erasure deletes."""
    for place, event, one in zip(batch.places, batch.events, published, strict=True):
        if event.occurred_us <= one.erased_through_us:
            yield Covered(place, iso(one.erased_through_us))


@router.post("/v1/events", responses=_TAKEN, status_code=202, openapi_extra=json_body("EventBatch", "Event"))
async def publish_events(request: Request, idempotency_key: IdempotencyKey = None) -> Response:
    """Publish one event, or many under `events`: 202 once all valid ones are kept; else nothing is promised."""
    candidates = split_body(await request.body())
    return await ingest(services_of(request), request.state.principal, candidates, idempotency_key)


async def _ingest_one(request: Request, type_name: str, user_id: str, course_id: str, key: str | None) -> Response:
    fields = parse_object(await request.body())
    event = {**fields, "type": type_name, "user_id": user_id, "course_id": course_id}
    return await ingest(services_of(request), request.state.principal, [event], key)


def _add_short_form(action: str, type_name: str) -> None:
    has_value = "value" in EVENT_TYPES[type_name].__struct_fields__

    async def short_form(
        request: Request, user_id: UserId, course_id: CourseId, idempotency_key: IdempotencyKey = None
    ) -> Response:
        return await _ingest_one(request, type_name, user_id, course_id, idempotency_key)

    router.add_api_route(
        f"/v1/learners/{{user_id}}/courses/{{course_id}}/{action}",
        short_form,
        methods=["POST"],
        name=action,
        summary=f"Publish the event {type_name} of a learner and course",
        status_code=202,
        responses=_TAKEN,
        openapi_extra=json_body(f"{type_name.capitalize()}Body", required=has_value),
    )


SHORT_FORMS: Final = {
    "enrol": "enrolled",
    "drop": "dropped",
    "progress": "progressed",
    "rating": "rated",
    "feedback": "feedback",
}
for _action, _type_name in SHORT_FORMS.items():
    _add_short_form(_action, _type_name)
