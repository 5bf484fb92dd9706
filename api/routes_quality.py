"""Live quality: how first enrolments stood in the lists that stood before them."""

import asyncio
import time
from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.answers import ModelQuality, QualityAnswer, respond
from api.documentation import answers
from api.wiring import Services, services_of
from schemas.keys import ShardKeys
from schemas.quality import KEPT_DAYS, Slot, Tally, add_fields

router: Final = APIRouter(tags=["operations"])

_DAY_S: Final = 86_400

Days = Annotated[int, Query(ge=1, le=KEPT_DAYS, description="Days (UTC) to add up, the last of them today.")]


@router.get("/v1/quality", responses=answers(QualityAnswer, "Hit rates and reciprocal ranks by model."))
async def quality(request: Request, days: Days = 7) -> Response:
    """Return how first enrolments stood in the lists before them, by model, strategy and length of the history."""
    services = services_of(request)
    tallies = await _read(services, days)
    return respond(QualityAnswer(days=days, models=_by_version(services, tallies)))


async def _read(services: Services, days: int) -> dict[Slot, Tally]:
    """Add up the days of all shards. Raises RedisError or TimeoutError."""
    today, shards = int(time.time()) // _DAY_S, range(services.control.state.partitions)
    pipeline = services.client.pipeline(transaction=False)
    for shard in shards:
        for day in range(today - days + 1, today + 1):
            pipeline.hgetall(ShardKeys(shard, 0).quality(day))
    async with asyncio.timeout(services.settings.read_timeout_s):
        hashes: list[Any] = await pipeline.execute()
    tallies: dict[Slot, Tally] = {}
    for fields in hashes:
        add_fields(tallies, fields)
    return tallies


def _by_version(services: Services, tallies: Mapping[Slot, Tally]) -> tuple[ModelQuality, ...]:
    """Return the tallies by version: one that was live several times has several epochs. Newest first."""
    state = services.control.state
    published = {model.offset: version for version, model in state.models.items()}  # of arms' lists
    added: dict[tuple[str, str, str], Tally] = {}
    for slot in sorted(tallies, reverse=True):
        key = published.get(slot.model_epoch) or state.version_of(slot.model_epoch), slot.strategy, slot.history
        added[key] = added.get(key, Tally()).plus(tallies[slot])
    return tuple(
        ModelQuality(*key, tally.tests, round(tally.hit_rate, 6), round(tally.reciprocal_rank, 6))
        for key, tally in added.items()
    )
