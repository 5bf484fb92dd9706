"""Founding a system over a broker that stands still meanwhile."""

import asyncio
from collections.abc import Iterator
from functools import partial

import pytest
from aiokafka.errors import KafkaError, KafkaTimeoutError

from deploy import up
from deploy.backends import Backends


def _then(answers: Iterator[int | KafkaError], *_: object) -> "asyncio.Future[int]":
    answer = next(answers)
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    if isinstance(answer, KafkaError):
        future.set_exception(answer)
    else:
        future.set_result(answer)
    return future


async def test_a_broker_that_stands_still_while_topics_are_made_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    late = KafkaTimeoutError("Failed to get offsets by times in 40000 ms")
    monkeypatch.setattr(up, "_ASK_AGAIN_S", 0.0)
    monkeypatch.setattr(up, "ensure_topics", partial(_then, iter([late, 0, 0])))
    monkeypatch.setattr(up, "check_partitions", partial(_then, iter([late, 4])))
    assert await up._found(Backends("unused:1", "redis://unused:1"), 4) == 4
    monkeypatch.setattr(up, "READY_S", -1.0)
    monkeypatch.setattr(up, "ensure_topics", partial(_then, iter([late])))
    with pytest.raises(KafkaTimeoutError):
        await up._found(Backends("unused:1", "redis://unused:1"), 4)
