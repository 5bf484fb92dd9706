"""The fast lane against the ordinary route: random and hostile requests, answered alike to the byte."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import pytest

from adapters.redis import connect
from api import lists as lists_module
from api.settings import ApiSettings
from api.wiring import lane_of
from schemas.candidates import Candidate, Source
from schemas.cards import Card
from tests.api_server import SECRET, token
from tests.lane_requests import OF_LIST, TOKENS, a_request, usual
from tests.lane_worlds import CARDS, COURSES, House, change_world, house_over, plain_learner
from tests.servers import running_redis

WORLDS: Final = 12
REQUESTS: Final = 100
"""In each world: 1,200 in all."""
NOW: Final = 1_750_000_000.123456


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server.redis_url


@pytest.fixture
async def house(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr(lists_module, "time", SimpleNamespace(time=lambda: NOW))
    async for one in house_over(redis_url):
        yield one


@pytest.mark.timeout(600)
async def test_both_ways_answer_alike(house: House) -> None:
    draw, statuses = random.Random(20_251_126), set()
    for number in range(WORLDS):
        await change_world(house, draw, number)
        for _ in range(REQUESTS):
            statuses.add((await house.compare(a_request(draw)))[9:12])
    assert house.taken > WORLDS * REQUESTS / 15
    assert statuses >= {b"200", b"400", b"401", b"403", b"404", b"405", b"413", b"422"}
    assert house.fast.services.counts._deeds == house.ordinary.services.counts._deeds
    assert house.fast.services.counts._deeds


async def test_the_usual_request_takes_the_fast_lane_once_token_and_cards_are_known(house: House) -> None:
    plain_learner(house)
    before = house.taken
    for _ in range(3):
        await house.compare(usual())
    assert house.taken - before == 2
    fast, ordinary = (
        [line for line in one.services.metrics.text().decode().splitlines() if line.startswith(COUNTED)]
        for one in (house.fast, house.ordinary)
    )
    assert fast == ordinary
    assert fast[0].endswith(" 3.0")


COUNTED: Final = ("coursestream_http_requests_total", "coursestream_http_request_seconds_count")


async def test_a_changed_catalogue_shows_at_once(house: House) -> None:
    plain_learner(house)
    for _ in range(2):
        await house.compare(usual())
    renamed = [replace_title(card) for card in CARDS]
    house.state.write_shared(
        renamed, [Candidate(COURSES[0], 1.0, (0.0,) * 5, Source.POPULAR, None)], epoch=time.time_ns()
    )
    await house.look()
    for _ in range(2):
        assert b"renamed" in await house.compare(usual())
    assert house.taken == 2


def replace_title(card: Card) -> Card:
    """Return the card under another title."""
    return Card(card.course_id, f"renamed {card.course_id}")


async def test_who_asks_too_much_is_told_so_by_both(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists_module, "time", SimpleNamespace(time=lambda: NOW))
    async for house in house_over(redis_url, learner_quota=5, quota_window_s=10):
        plain_learner(house)
        answers = [await house.compare(usual(bearer=TOKENS["u1"])) for _ in range(7)]
        assert [answer[9:12] for answer in answers] == [b"200"] * 5 + [b"429"] * 2
        assert b'\r\nratelimit-policy: "learner";q=5;w=10\r\nratelimit: "learner";r=4;t=2' in answers[0]
        assert b"\r\nretry-after: 2\r\n" in answers[-1] and b"/problems/quota-exceeded" in answers[-1]
        other = usual(bearer=TOKENS["u1"]).replace(OF_LIST.format("u1").encode(), b"/v1/courses/popular")
        assert (await house.compare(other))[9:12] == b"429"
        assert (await house.compare(usual()))[9:12] == b"200"  # another caller
        house.clock.now += 2
        assert (await house.compare(usual(bearer=TOKENS["u1"])))[9:12] == b"200"
        assert (await house.compare(usual(bearer=TOKENS["u1"])))[9:12] == b"429"


async def test_with_a_cluster_or_told_so_all_go_the_ordinary_way() -> None:
    for settings in (
        ApiSettings(jwt_secret=SECRET, redis_cluster=True),
        ApiSettings(jwt_secret=SECRET, fast_lane=False),
    ):
        client = connect(settings)
        assert lane_of(settings, client) is None
        await client.aclose()


async def test_a_token_that_expires_is_refused_by_both(house: House) -> None:
    plain_learner(house)
    short = token("s", "reader", ttl_s=2)
    for _ in range(2):
        assert (await house.compare(usual(bearer=short)))[9:12] == b"200"
    await asyncio.sleep(2.1)
    assert (await house.compare(usual(bearer=short)))[9:12] == b"401"


async def test_without_redis_both_degrade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lists_module, "time", SimpleNamespace(time=lambda: NOW))
    with running_redis(tmp_path) as server:
        async for house in house_over(server.redis_url, read_timeout_s=0.5):
            plain_learner(house)
            for _ in range(2):
                assert b'"degraded":false' in await house.compare(usual())
            assert house.taken == 1
            server.process.send_signal(19)  # SIGSTOP: hung; then gone
            assert b'"degraded":true' in await house.compare(usual())
            server.process.kill()
            server.process.wait()
            for _ in range(3):
                assert b'"degraded":true' in await house.compare(usual())
            assert house.taken == 1
