"""The application: routes, what happens around them, and what they use."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import Depends, FastAPI

from api import (
    routes_changes,
    routes_courses,
    routes_events,
    routes_experiments,
    routes_grades,
    routes_learners,
    routes_operations,
    routes_quality,
    routes_recent,
)
from api.access import authorise
from api.documentation import DocumentedAPI
from api.intake import Intake
from api.lane_ingest import IngestLane
from api.metrics import Metrics
from api.middleware import KeepSlashes, LimitBody, LimitWriting, Observe
from api.problems import install_problems
from api.quotas import TellQuota
from api.routes_pages import install_pages
from api.settings import ApiSettings
from api.wiring import open_services

ROOMS: Final = (
    routes_events,
    routes_recent,
    routes_learners,
    routes_changes,
    routes_courses,
    routes_grades,
    routes_quality,
    routes_experiments,
    routes_operations,
)


def create_app(settings: ApiSettings) -> FastAPI:
    """Return the application; it connects when it starts, and waits until Kafka answers."""
    metrics, intake = Metrics(), Intake(settings.max_ingest_bytes)
    metrics.watch_intake(intake)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_services(settings, metrics) as services:
            app.state.services = services
            yield

    app = DocumentedAPI(
        title="coursestream",
        summary="Learners' events in, fresh course recommendations out.",
        version="1",
        lifespan=lifespan,
        dependencies=[Depends(authorise)],
        redirect_slashes=False,
    )
    install_problems(app)
    for room in ROOMS:
        app.include_router(room.router)
    install_pages(app)
    app.add_middleware(
        LimitWriting,
        intake=intake,
        max_body_bytes=settings.max_body_bytes,
        body_timeout_s=settings.ingest_timeout_s,
    )
    app.add_middleware(LimitBody, max_body_bytes=settings.max_body_bytes)
    app.add_middleware(TellQuota)
    app.add_middleware(Observe, metrics=metrics)
    app.add_middleware(KeepSlashes)
    if settings.fast_lane:
        app.add_middleware(
            IngestLane,
            intake=intake,
            max_body_bytes=settings.max_body_bytes,
            body_timeout_s=settings.ingest_timeout_s,
        )
    return app
