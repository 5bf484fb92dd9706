"""`python -m trainer`: the trainer."""

import asyncio
import logging
import sys

import uvloop
from aiokafka.errors import KafkaError

from schemas.errors import CoursestreamError
from trainer.app import run
from trainer.settings import load_settings


def main() -> int:
    """Train as the environment says until told to end; 1 if it can't be started."""
    try:
        settings = load_settings()
    except CoursestreamError as error:
        print(f"trainer: {error}", file=sys.stderr)
        return 1
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(settings))
    except (CoursestreamError, KafkaError) as error:
        print(f"trainer: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
