"""`python -m stream`: one worker."""

import asyncio
import gc
import logging
import sys
from typing import Final

import uvloop
from aiokafka.errors import KafkaError
from prometheus_client import start_http_server

from schemas.errors import CoursestreamError
from schemas.settings import load
from stream.app import run
from stream.settings import StreamSettings

_COLLECTED_AFTER: Final = 20_000
"""New objects before the collector looks for cycles: after 700, as by default, it takes a tenth of a worker's time."""


def main() -> int:
    """Run a worker as the environment says; 1 if it can't be started."""
    try:
        _work(load(StreamSettings))
    except (CoursestreamError, KafkaError) as error:
        print(f"worker: {error}", file=sys.stderr)
        return 1
    return 0


def _work(settings: StreamSettings) -> None:
    gc.set_threshold(_COLLECTED_AFTER)
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for noisy in ("faust", "mode", "aiokafka"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    if settings.metrics_port:
        start_http_server(settings.metrics_port)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(settings))


if __name__ == "__main__":
    sys.exit(main())
