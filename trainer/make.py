"""A training from end to end: read the log, fit, test, judge, publish. It brings torch in: for the child alone."""

import logging
from typing import Final, cast

import msgspec

from adapters.bundles import BundleStore
from schemas.errors import NotReadyError
from trainer.champion import load_champion
from trainer.fit import follow
from trainer.gate import judge
from trainer.kept_log import read_kept_log
from trainer.log import Log, holds_erased, read_log
from trainer.pipeline import train_model
from trainer.processes import number, rank, together, told
from trainer.publish import Made, live_model, publish
from trainer.result import Progress, TrainResult
from trainer.settings import TrainerSettings

logger: Final = logging.getLogger(__name__)

ATTEMPTS: Final = 3
"""A training is repeated so often at most because somebody in it was erased meanwhile."""


async def make_together(
    settings: TrainerSettings, seed: int, force: bool, as_of_ms: int | None, progress: Progress
) -> TrainResult:
    """Make a model with the processes that torchrun started beside this one, if it did; all return the result."""
    with together():
        if rank():
            follow(lambda done: progress("following", done))
            result = told()
        else:
            result = await make_model(settings, seed, force, as_of_ms, progress)
            told(None)
            told(result)
        return cast(TrainResult, result)


async def make_model(
    settings: TrainerSettings, seed: int, force: bool, as_of_ms: int | None, progress: Progress
) -> TrainResult:
    """Train on the log and put the model live if it is good enough, or if `force`.

    What was trained with somebody who was erased meanwhile is thrown away, and made again without. Where erasures never
    cease the last attempt is published all the same: it lacks whom the ones before lacked, and the next refit the rest;
    `erase` waits for that. The log as of a moment is read from Kafka alone: the snapshot lacks what was erased since.
    """
    servers = settings.kafka_bootstrap_servers
    attempt = 1
    while True:
        progress("reading the log", 0.0)
        logger.info("reading the log")
        log = await (
            read_log(servers, as_of_ms) if as_of_ms is not None else read_kept_log(servers, settings.snapshot_dir)
        )
        made = await _make(log, settings, seed, force, progress)
        if isinstance(made, TrainResult):
            return made
        if attempt == ATTEMPTS or not await holds_erased(servers, log):
            return await publish(made, settings)
        attempt += 1
        logger.warning("a learner of the log was erased while the model was trained: it is made again without")


async def _make(log: Log, settings: TrainerSettings, seed: int, force: bool, progress: Progress) -> Made | TrainResult:
    """Return a model of the log and what was found of it; the result if there is too little to learn from."""
    store = BundleStore(settings.bundle_url, settings.bundle_cache)
    logger.info("training on %d events", len(log.events))
    champion, absent = load_champion(await live_model(settings), store, force)
    try:
        trained = train_model(log, settings, seed, force, progress, champion)
    except NotReadyError as error:
        return TrainResult(offsets=log.offsets, published=False, reason=str(error))
    progress("publishing", 1.0)
    model, found, duel = trained.model, trained.found, trained.duel
    is_newer = champion is None or champion.lacks(log.offsets)
    verdict = judge(found.tail, champion, duel, absent or trained.absent, force, is_newer)
    logger.info("grades: %s", trained.grades.reason)
    verdict = msgspec.structs.replace(verdict, metrics={**verdict.metrics, **trained.grades.metrics})
    return Made(model, log, seed, verdict, found.epochs, found.passes, number())
