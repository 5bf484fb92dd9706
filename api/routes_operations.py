"""Health and metrics: open, since probes and scrapers carry no token."""

from typing import Final

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import Response

from api.answers import Health, respond
from api.documentation import answers
from api.wiring import services_of

router: Final = APIRouter(tags=["operations"])


@router.get("/livez", responses=answers(Health, "The process serves.", public=True))
async def livez() -> Response:
    """Say that the process serves."""
    return respond(Health("ok"))


@router.get("/readyz", responses=answers(Health, "The process can do its work.", public=True))
async def readyz(request: Request) -> Response:
    """Say whether Kafka and Redis answer and `control` is followed; 503 names what is missing.

    Degraded shards are named, and no reason to send requests elsewhere: every process would answer the same.
    """
    services = services_of(request)
    missing, degraded = tuple(services.missing()), tuple(services.watch.degraded_shards)
    return respond(Health("not ready" if missing else "ok", missing, degraded), 503 if missing else 200)


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Return the metrics in Prometheus' text format."""
    services = services_of(request)
    services.measure_shards()
    return Response(services.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})
