"""A training from end to end: read the log, fit, test, judge, publish. It brings torch in: for the child alone."""

from schemas.errors import NotReadyError
from trainer.log import read_log
from trainer.pipeline import train_model
from trainer.publish import Made, publish
from trainer.result import Progress, TrainResult
from trainer.settings import TrainerSettings
from trainer.verdict import judge


async def make_model(
    settings: TrainerSettings, seed: int, force: bool, as_of_ms: int | None, progress: Progress
) -> TrainResult:
    """Train on the log and put the model live if it is good enough, or if `force`."""
    progress("reading the log", 0.0)
    log = await read_log(settings.kafka_bootstrap_servers, as_of_ms)
    try:
        model, (hybrid, popular) = train_model(log, settings, seed, force, progress)
    except NotReadyError as error:
        return TrainResult(offsets=log.offsets, published=False, reason=str(error))
    progress("publishing", 1.0)
    return await publish(Made(model, log, seed, judge(hybrid, popular, force), hybrid, popular), settings)
