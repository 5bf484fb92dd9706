"""A Faust agent that does nothing, as its documentation has it: `python -m bench.idle_agent BROKER EVENTS`.

Takes batches of raw bytes of `learner-events` and acks them; prints the seconds from the first batch to the last.
"""

import asyncio
import os
import sys
import time
from typing import Any

import faust

from schemas.topics import LEARNER_EVENTS

BATCH = 1_000
WITHIN_S = 0.005


def create_app(broker: str, events: int) -> faust.App:
    """Return the application; it ends its process when it has seen so many events."""
    app = faust.App(
        "idle-agent",
        broker=f"kafka://{broker}",
        topic_disable_leader=True,
        topic_allow_declare=False,
        consumer_auto_offset_reset="earliest",
        stream_wait_empty=False,
        web_enabled=False,
        datadir=os.environ["IDLE_AGENT_DIR"],
    )
    raw: Any = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}

    async def idle(stream: Any) -> None:
        seen, began, began_cpu = 0, 0.0, 0.0
        async for batch in stream.noack_take(BATCH, within=WITHIN_S):
            if not began:
                began, began_cpu = time.monotonic(), time.process_time()
            seen += len(batch)
            for event in batch:
                event.ack()
            if seen >= events:
                print(time.monotonic() - began, time.process_time() - began_cpu, flush=True)
                os._exit(0)

    app.agent(app.topic(LEARNER_EVENTS, **raw), concurrency=1)(idle)
    return app


async def run(broker: str, events: int) -> None:
    """Start the application, and wait: it ends the process."""
    app = create_app(broker, events)
    await app.start()
    await app.wait_until_stopped()
    raise RuntimeError("the idle agent has stopped by itself") from app.crash_reason


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], int(sys.argv[2])))
