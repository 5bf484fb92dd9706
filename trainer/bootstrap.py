"""The bootstrap bundle: the catalogue and its text, so that there are lists before anybody has enrolled. No torch."""

from trainer.log import read_log
from trainer.publish import Made, live_model, publish
from trainer.result import TrainResult
from trainer.settings import TrainerSettings
from trainer.text import bootstrap_model
from trainer.verdict import Verdict


async def make_bootstrap(settings: TrainerSettings, seed: int) -> TrainResult:
    """Put a bundle of the catalogue alone live, unless a trained model has come first."""
    log = await read_log(settings.kafka_bootstrap_servers, with_events=False)
    if not log.courses:
        return TrainResult(offsets=log.offsets, published=False, reason="the catalogue is empty")
    live = await live_model(settings)
    if live is not None and not live.bootstrap:
        return TrainResult(offsets=log.offsets, published=False, reason=f"the trained model {live.version} is live")
    verdict = Verdict(True, f"the text of {len(log.courses)} courses, until there are enrolments enough")
    return await publish(Made(bootstrap_model(log.courses), log, seed, verdict), settings)
