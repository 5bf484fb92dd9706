"""A merge whose answer was lost on the way: it happened, is sent again, and changes nothing more."""

import asyncio
import time
from functools import partial
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from adapters.redis import Client, patiently
from schemas.keys import ShardKeys
from stream.merge import Wanted, merge_run
from stream.view import open_shard, read_meta
from tests.shard_state import contents, enrolments, run_of

KEYS = ShardKeys(0, 0)
LOG = enrolments(40, users=7)


def lose_answers(client: Client, monkeypatch: pytest.MonkeyPatch, number: int) -> list[int]:
    """Let the connection break after the script has run, so many times; return how often it did."""
    run, lost = client.evalsha, [0]

    async def run_and_lose(*args: Any) -> Any:
        answer = await run(*args)
        if lost[0] < number:
            lost[0] += 1
            raise RedisConnectionError("cut after it was executed")
        return answer

    monkeypatch.setattr(client, "evalsha", run_and_lose)
    return lost


async def test_a_merge_is_repeated_safely_when_its_answer_was_lost(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1e9)  # the marks' moment
    views = []
    for cut in (0, 3):
        await client.flushall()
        view, _ = await open_shard(client, KEYS, 0)
        with monkeypatch.context() as patch:
            lost = lose_answers(client, patch, cut)
            for first in range(0, 40, 10):
                run = run_of(LOG, first, first + 9)
                answer = await patiently(partial(merge_run, client, view, run, wanted=Wanted.FIRSTS))
                assert answer.status == "OK"
        assert lost == [cut]
        views.append({key: held for key, held in (await contents(client)).items() if key != KEYS.meta.encode()})
        meta = await read_meta(client, KEYS)
        assert meta is not None and meta.applied == 39
    assert views[0] == views[1] and len(views[0]) > 7


async def test_patience_ends_when_it_is_told_to(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    view, _ = await open_shard(client, KEYS, 0)
    lose_answers(client, monkeypatch, 10_000)
    with pytest.raises(RedisTimeoutError, match=r"0\.2 s"):
        await patiently(lambda: merge_run(client, view, run_of(LOG, 0, 9)), for_s=0.2)


async def test_patience_ends_amid_a_call_that_hangs() -> None:
    with pytest.raises(RedisTimeoutError):
        await patiently(asyncio.Event().wait, for_s=0.05)
