"""Experiments: what the learners of each arm did, and whether that tells the arms apart."""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.answers import ArmComparison, ArmFigures, ExperimentAnswer, ExperimentsAnswer, iso, respond
from api.documentation import answers
from api.sequential import Count, compare, interval
from api.wiring import Services, services_of
from schemas.experiments import KEPT_DAYS, Arm, Experiment, Figures, add_fields
from schemas.keys import ShardKeys

router: Final = APIRouter(tags=["operations"])

_KEPT_MS: Final = KEPT_DAYS * 86_400_000

ByArm = dict[str, Figures]


@router.get("/v1/experiments", responses=answers(ExperimentsAnswer, "Figures and comparisons by arm."))
async def experiments(request: Request) -> Response:
    """Return all experiments, the newest first; figures of those that run, or ended within the last 30 days."""
    services = services_of(request)
    listed = list(reversed(services.control.state.experiments.values()))
    figures = await _read(services, [one for one in listed if _is_kept(one)])
    return respond(ExperimentsAnswer(tuple(answer_of(one, figures.get(one.epoch)) for one in listed)))


def _is_kept(experiment: Experiment) -> bool:
    return experiment.ended_ms is None or time.time() * 1_000 - experiment.ended_ms < _KEPT_MS


async def _read(services: Services, wanted: Sequence[Experiment]) -> dict[int, ByArm]:
    """Return figures by epoch and arm, added up over all shards. Raises RedisError or TimeoutError."""
    shards = range(services.control.state.partitions)
    pipeline = services.client.pipeline(transaction=False)
    for experiment in wanted:
        for shard in shards:
            pipeline.hgetall(ShardKeys(shard, 0).experiment(experiment.epoch))
    async with asyncio.timeout(services.settings.read_timeout_s):
        hashes: list[Any] = await pipeline.execute() if wanted else []
    found: dict[int, ByArm] = {}
    for place, experiment in enumerate(wanted):
        figures = found.setdefault(experiment.epoch, {})
        for fields in hashes[place * len(shards) : (place + 1) * len(shards)]:
            add_fields(figures, fields)
    return found


def answer_of(experiment: Experiment, figures: Mapping[str, Figures] | None) -> ExperimentAnswer:
    """Return what is answered of an experiment; without figures if they are no longer kept."""
    control, *others = experiment.record.arms
    compared = [] if figures is None else [_compared(arm, control, figures, len(others)) for arm in others]
    ended_ms = experiment.ended_ms
    return ExperimentAnswer(
        name=experiment.record.name,
        state="running" if ended_ms is None else "ended",
        started_at=iso(experiment.started_ms * 1_000),
        ended_at=None if ended_ms is None else iso(ended_ms * 1_000),
        reason=experiment.reason,
        arms=tuple(_figures(arm, experiment, figures) for arm in experiment.record.arms),
        comparisons=tuple(compared),
    )


def _figures(arm: Arm, experiment: Experiment, figures: Mapping[str, Figures] | None) -> ArmFigures:
    known: dict[str, Any] = {"name": arm.name, "strategy": arm.strategy, "share": arm.share, "model": arm.model or None}
    if refusal := experiment.refusal_of(arm):
        known["refused"] = refusal.reason
    if figures is None:
        return ArmFigures(**known)
    own = figures.get(arm.name, Figures())
    low, high = interval(Count(own.hits, own.tests - own.hits))
    rate = round(own.hits / own.tests, 6) if own.tests else None
    return ArmFigures(**known, **own._asdict(), hit_rate=rate, hit_rate_low=round(low, 6), hit_rate_high=round(high, 6))


def _compared(arm: Arm, control: Arm, figures: Mapping[str, Figures], others: int) -> ArmComparison:
    hits, control_hits = (figures.get(one.name, Figures()).hits for one in (arm, control))
    found = compare(hits, control_hits, arm.share / control.share, others)
    return ArmComparison(
        arm=arm.name,
        control=control.name,
        effect=_finite(found.effect),
        low=round(found.low, 6),
        high=_finite(found.high),
        p_value=float(f"{found.p_value:.4g}"),  # however small, it is not 0
        verdict=found.verdict,
    )


def _finite(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
