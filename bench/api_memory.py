"""What a process of the API holds of the courses: `python -m bench.api_memory REDIS_URL` says so on a line of JSON.

Nothing that it holds grows with the learners. Titles are read by the first search; a card stays once it was shown.
"""

import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from typing import Any, Final

import api.app  # noqa: F401  # its modules are part of what a process holds
from adapters.redis import Client, connect
from api.search import TitleSearch
from api.shared import SharedCache
from bench.processes import resident_mb
from deploy.this_python import run_module
from schemas.cards import Card, card_of, pack_card
from schemas.courses import Course
from schemas.keys import SHARED_CARDS, SHARED_META
from schemas.settings import Connections

_AT_ONCE: Final = 5_000


async def write_cards(client: Client, course_ids: tuple[str, ...]) -> None:
    """Write a card a course, with a title of about 40 letters and a sketch of 256 bits."""
    for first in range(0, len(course_ids), _AT_ONCE):
        part = course_ids[first : first + _AT_ONCE]
        courses = (
            Course(course_id=one, title=f"An introduction to the subject of {one}", language="en") for one in part
        )
        await client.hset(SHARED_CARDS, mapping={one.course_id: pack_card(card_of(one, bytes(32))) for one in courses})
    await client.hset(SHARED_META, mapping={"catalogue_epoch": 0})


def measure(redis_url: str) -> dict[str, float]:
    """Return what a child process says: megabytes without courses, with all titles, and with all cards, too."""
    answer: dict[str, float] = json.loads(subprocess.check_output(run_module("bench.api_memory", redis_url)))
    return answer


async def _held(redis_url: str) -> dict[str, float]:
    client = connect(Connections(redis_url=redis_url, redis_cluster=False))
    found = {"api_mb": _resident()}
    titles, began = TitleSearch(client, 60.0), time.process_time()
    first = await titles.find("introduction", 1)
    found["api_titles_mb"], found["api_titles_s"] = _resident(), time.process_time() - began
    cache = SharedCache(client, 1.0, 60.0, _nothing)
    names: list[Any] = await client.hkeys(SHARED_CARDS)
    shown: dict[str, Card] = {}
    for start in range(0, len(names), _AT_ONCE):
        shown |= await cache.cards(name.decode() for name in names[start : start + _AT_ONCE])
    found["api_cards_mb"] = _resident()
    await client.aclose()
    if not first or len(shown) != len(names):
        raise RuntimeError("the API did not find the cards that were written")
    return found


async def _nothing() -> None:
    return None


def _resident() -> float:
    gc.collect()
    return resident_mb(os.getpid())


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_held(sys.argv[1]))))
