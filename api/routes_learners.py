"""What a learner sees: the list, the courses taken; his erasure; and the embedding, for services."""

import uuid
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api.answers import Dashboard, EmbeddingAnswer, ErasureAccepted, Recommendations, iso, respond
from api.dashboard import learner_courses
from api.documentation import answers
from api.lists import Query
from api.parameters import DEFAULT_WAIT_MS, MAX_WAIT_MS, After, UserId, WaitMs, positions_of, query_of
from api.problems import not_found
from api.quotas import waited_s
from api.wiring import services_of
from recommender.fold import erased_through_us
from schemas.events import Erased, encode_event

router: Final = APIRouter(tags=["learners"], prefix="/v1/learners/{user_id}")


@router.get("/recommendations", responses=answers(Recommendations, "The learner's list, best first."))
async def recommendations(
    request: Request,
    user_id: UserId,
    query: Annotated[Query, Depends(query_of)],
    after: After = None,
    wait_ms: WaitMs = DEFAULT_WAIT_MS,
) -> Response:
    """Return a learner's list; for a learner without one, what is popular."""
    services = services_of(request)
    wait_s = min(wait_ms, MAX_WAIT_MS) / 1_000 - waited_s(request.scope)
    found = await services.find(user_id, positions_of(after), wait_s)
    answer = await services.recommendations(user_id, found, query)
    services.count_list(answer)
    return respond(answer)


@router.get("", responses=answers(Dashboard, "The learner's courses."))
async def dashboard(request: Request, user_id: UserId) -> Response:
    """Return the courses a learner has taken: none, and degraded, while the learner's state is not whole."""
    services = services_of(request)
    found = await services.learners.look_up(user_id)
    history = found.history if found.is_whole else {}
    cards = await services.shared.cards(history.keys() | found.unmerged.keys())
    answer = Dashboard(
        user_id=user_id,
        courses=learner_courses(history, found.unmerged, cards),
        state_version=found.state_version,
        lag=services.ends.lag(found.shard, found.applied),
        degraded=not found.is_whole,
    )
    services.metrics.count_answer(answer.degraded)
    return respond(answer)


@router.delete("", responses=answers(ErasureAccepted, "Kafka has acknowledged the erasure.", 202), status_code=202)
async def erase(request: Request, user_id: UserId) -> Response:
    """Erase a learner: all that is stamped until five minutes from now is deleted, and nobody will see it again."""
    services, now = services_of(request), datetime.now(UTC)
    event = Erased(event_id=str(uuid.uuid4()), user_id=user_id, occurred_at=now)
    (published,) = await services.publisher.publish([event], [encode_event(event)])
    services.metrics.count_ingest([event], [])
    through_us = erased_through_us(published.appended_ms)
    return respond(ErasureAccepted(position=str(published.position), erased_through=iso(through_us)), 202)


@router.get("/embedding", responses=answers(EmbeddingAnswer, "The learner's embedding."))
async def embedding(request: Request, user_id: UserId) -> Response:
    """Return a learner's embedding, as the last refresh computed it."""
    services = services_of(request)
    found = await services.learners.embedding(user_id)
    if found is None:
        raise not_found("user_id: this learner has no embedding")
    version = services.control.state.version_of(found.model_epoch, user_id)
    vector = found.vector
    return respond(EmbeddingAnswer(user_id=user_id, model_version=version, dimensions=len(vector), embedding=vector))
