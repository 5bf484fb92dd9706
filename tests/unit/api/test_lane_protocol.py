"""Many requests on one connection, by the fast lane as by the server alone: their order, their ends, a slow reader."""

import asyncio
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from tests.lane_house import Served
from tests.lane_requests import TOKENS, usual
from tests.lane_worlds import House, house_over, plain_learner
from tests.servers import running_redis

KEPT: Final = usual(query="?limit=30").replace(b"Connection: close\r\n", b"")
REFUSED: Final = usual(bearer=TOKENS["u1"]).replace(b"Connection: close\r\n", b"")
MANY: Final = 3_000


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """Both ways, token and cards known to the fast one; learners have one request each."""
    with running_redis(tmp_path) as server:
        async for house in house_over(server.redis_url, learner_quota=1, quota_window_s=1_000):
            plain_learner(house)
            for served in (house.fast, house.ordinary):
                for request in (usual(), usual(), usual(bearer=TOKENS["u1"])):
                    await served.answer(request)
            assert house.fast.app.requests == 2
            yield house


async def statuses(served: Served, requests: bytes, silent_s: float = 1.0) -> Counter[bytes]:
    """Return how many answers of which status come, until nothing comes any more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(requests)
    answers = b""
    try:
        while part := await asyncio.wait_for(reader.read(1 << 20), silent_s):
            answers += part
    except TimeoutError:
        pass
    writer.close()
    return Counter(re.findall(rb"HTTP/1\.1 (\d+) ", answers))


def num_counted(served: Served) -> int:
    """Return how many requests the metrics have counted."""
    text = served.services.metrics.text().decode()
    return sum(int(float(one)) for one in re.findall(r"^coursestream_http_requests_total\{.*\} (.*)$", text, re.M))


async def test_any_number_of_refusals_in_a_row_is_answered_and_costs_nobody_the_connection(house: House) -> None:
    assert house.fast.services.lane
    wire = house.fast.services.lane._wire
    for served in (house.fast, house.ordinary):
        assert await statuses(served, KEPT + REFUSED * 600) == {b"200": 1, b"429": 600}
    assert wire and not wire.lost.done()


async def test_behind_the_last_request_of_a_connection_none_is_begun(house: House) -> None:
    last = KEPT.replace(b"HTTP/1.1\r\n", b"HTTP/1.0\r\nConnection: keep-alive\r\n")
    for served in (house.fast, house.ordinary):
        before = num_counted(served)
        assert await statuses(served, last + KEPT) == {b"200": 1}
        assert num_counted(served) == before + 1


async def test_who_reads_slowly_is_answered_and_counted_once(house: House) -> None:
    before, reached = num_counted(house.fast), house.fast.app.requests
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        slow.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(slow, ("127.0.0.1", house.fast.port))
        sending = asyncio.create_task(loop.sock_sendall(slow, KEPT * MANY))
        await asyncio.sleep(1)
        answers = bytearray()
        while answers.count(b"HTTP/1.1 200") < MANY:
            answers += await asyncio.wait_for(loop.sock_recv(slow, 1 << 16), 20)
        await sending
    assert house.fast.app.requests > reached, "it was never full: nothing was tried"
    assert num_counted(house.fast) == before + MANY
