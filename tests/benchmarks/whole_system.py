"""What the whole system takes on this machine: `python tests/benchmarks/whole_system.py FOLDER [--json FILE]`.

Starts a stack of its own with `coursestream up`, imports the folder, waits for lists and for the first trained model,
then measures freshness over HTTP, resident memory and bytes a learner. Nothing is asserted: figures, not tests.
With `--sweep N` it measures instead, N times, how long another model takes to reach every list while events stream in.

Freshness is measured as `coursestream bench freshness` does (`bench/freshness.py`), on that folder's courses.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from adapters.follow import append_control
from adapters.kafka import open_producer
from bench.freshness import stream
from bench.stack import Stack, running_up, shards, until
from schemas.candidates import VERSION_AT, Version, pack_version
from schemas.control import ModelPromoted
from schemas.events import convert_event, encode_event
from schemas.keys import SHARED_META
from schemas.topics import LEARNER_EVENTS

RATE = 200
SECONDS = 30


def import_folder(stack: Stack, folder: Path) -> int:
    """Import, wait for the lists; return the number of learner events."""
    started = time.monotonic()
    answer = stack.call("import", str(folder))
    finished = time.monotonic()
    stack.note("import_events", answer["events"])
    stack.note("import_events_per_s", answer["events"] / answer["seconds"])
    stack.note("import_command_s", finished - started)
    client = stack.redis

    def has_lists() -> bool:
        return client.hget(SHARED_META, "model_epoch") is not None and stack.is_quiet(1)

    lag_free = until("lists after import", lambda: has_lists() and not stack.call("lag")["lag"])
    stack.note("lists_after_last_event_s", lag_free)
    return stack.applied()


def wait_for_model(stack: Stack) -> None:
    """Wait until the first trained model is what lists are made with."""
    stack.note("first_model_after_import_s", stack.wait_for_model())


def measure_freshness(stack: Stack) -> None:
    """Note the percentiles from acknowledged to readable."""
    users, courses = [f"fresh-{i}" for i in range(2_000)], stack.course_ids()
    asyncio.run(stream(stack, users, courses, RATE, lambda sent: sent < RATE * 3))
    found = asyncio.run(stream(stack, users, courses, RATE, lambda sent: sent < RATE * SECONDS))
    for share in (50, 90, 99):
        stack.note(f"freshness_p{share}_ms_at_{RATE}_per_s", float(np.percentile([one.ms for one in found], share)))


def _learners(stack: Stack) -> list[list[str]]:
    """Return the learners of each shard."""
    found: list[Any] = [stack.redis.zrange(keys.learners, 0, -1) for keys in shards()]
    return [[user.decode() for user in users] for users in found]


def _behind(stack: Stack, learners: Sequence[Sequence[str]], epoch: int) -> int:
    """Return how many learners' lists are not of this model epoch."""
    pipeline, wanted = stack.redis.pipeline(transaction=False), pack_version(Version(epoch, -1, -1, -1))[:8]
    for keys, users in zip(shards(), learners, strict=True):
        for user in users:
            pipeline.getrange(keys.candidates(user), VERSION_AT, VERSION_AT + 7)
    return sum(found != wanted for found in pipeline.execute())


async def _sweep(stack: Stack, version: str) -> None:
    """Put a model live in the middle of a stream of events; note when all lists are its, and the events' freshness."""
    learners, swept = _learners(stack), asyncio.Event()
    users = [user for shard in learners for user in shard]
    events = asyncio.create_task(stream(stack, users, stack.course_ids(), RATE, lambda _: not swept.is_set()))
    await asyncio.sleep(5)
    began = time.monotonic()
    epoch = await append_control(stack.ready["kafka"], ModelPromoted(version=version))
    await asyncio.to_thread(until, "the sweep", lambda: not _behind(stack, learners, epoch), pause_s=0.2)
    ended = time.monotonic()
    swept.set()
    found = await events
    stack.note("sweep_learners", len(users))
    stack.note("sweep_s", ended - began)
    for name, low, high in (("before", began - 5, began), ("during", began, ended)):
        ms = [one.ms for one in found if low <= one.acknowledged < high]
        stack.note(f"events_{name}_sweep", len(ms))
        for share in (50, 99):
            stack.note(f"freshness_p{share}_ms_{name}_sweep", float(np.percentile(ms, share)))
    stack.note("load_average", os.getloadavg()[0])


def measure_sweeps(stack: Stack, times: int) -> None:
    """Note how the trained model is swept in, coming from another one each time."""
    live = next(model["version"] for model in stack.models() if model["state"] == "live")
    other = next(model["version"] for model in stack.models() if model["version"] != live)
    for _ in range(times):
        asyncio.run(append_control(stack.ready["kafka"], ModelPromoted(version=other)))
        time.sleep(15)
        asyncio.run(_sweep(stack, live))


def measure_memory(stack: Stack) -> None:
    """Note the resident memory of all processes of the stack."""
    parent = psutil.Process(stack.process.pid)
    processes = [parent, *parent.children(recursive=True)]
    for process in processes:
        print(f"    {process.memory_info().rss / 1e6:8.0f} MB  {' '.join(process.cmdline())[-60:]}", file=sys.stderr)
    stack.note("resident_mb", sum(process.memory_info().rss for process in processes) / 1e6)


async def _enrol_many(stack: Stack, prefix: str, learners: int, registers: int) -> int:
    courses, sent, now = stack.course_ids(), 0, int(time.time()) - 10
    async with open_producer(stack.ready["kafka"]) as producer:
        for i in range(learners):
            user_id = f"{prefix}-{i:06d}"
            for course_id in random.sample(courses, 30):
                for kind, value in (("enrolled", None), ("progressed", 0.5), ("rated", 4))[:registers]:
                    body = {
                        "type": kind,
                        "user_id": user_id,
                        "course_id": course_id,
                        "occurred_at": now,
                        "value": value,
                    }
                    body["event_id"] = f"{prefix}{sent}"
                    if value is None:
                        del body["value"]
                    await producer.send(LEARNER_EVENTS, encode_event(convert_event(body)), key=user_id.encode())
                    sent += 1
        await producer.flush()
    return sent


def measure_bytes(stack: Stack, registers: int, learners: int = 1_000) -> None:
    """Note Redis bytes for a learner with 30 courses and a list."""
    time.sleep(6)  # the shared lists are rewritten every 5 s; they must not fall into the difference
    merged, before = stack.applied(), stack.redis.info("memory")["used_memory"]
    sent = asyncio.run(_enrol_many(stack, f"bytes{registers}", learners, registers))
    until("lists", lambda: stack.is_quiet(merged + sent))
    time.sleep(6)
    after = stack.redis.info("memory")["used_memory"]
    stack.note(f"redis_bytes_a_learner_{registers}_registers", (after - before) / learners)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sweep", type=int, default=0, metavar="N")
    options = parser.parse_args()
    with running_up() as stack:
        stack.note("up_s", stack.up_s)
        import_folder(stack, options.folder)
        wait_for_model(stack)
        if options.sweep:
            measure_sweeps(stack, options.sweep)
        else:
            measure_freshness(stack)
            measure_memory(stack)
            measure_bytes(stack, 1)
            measure_bytes(stack, 3)
        stack.note("cpus", os.cpu_count() or 0)
    if options.json:
        options.json.write_text(json.dumps(stack.figures, indent=2))


if __name__ == "__main__":
    main()
