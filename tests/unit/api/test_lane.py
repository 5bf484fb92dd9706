"""The fast lane against the ordinary route: random and hostile requests, answered alike to the byte."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final
from urllib.parse import quote

import jwt
import pytest
from redis import Redis

from adapters.follow import ControlLog
from adapters.redis import connect
from api import lists as lists_module
from api.settings import ApiSettings
from api.wiring import lane_of
from schemas.candidates import Candidate, Source, Strategy
from schemas.cards import Card
from schemas.control import ControlState
from schemas.experiments import Arm, Experiment, ExperimentStarted
from schemas.keys import ShardKeys
from schemas.meta import Header
from schemas.pending import Pending, pack_pending
from schemas.registers import FEEDBACK_CODES, Rank, join_record, pack_fraction, pack_stamp
from tests.api_server import PARTITIONS, SECRET, State, token
from tests.lane_house import Ends, Served, served
from tests.servers import running_redis

WORLDS: Final = 12
REQUESTS: Final = 100
"""In each world: 1,200 in all."""
NOW: Final = 1_750_000_000.123456
COURSES: Final = [f"c{i:02d}" for i in range(60)] + ["ü/ber kurs", 'qu"ote\\', "emo😀ji"]
TITLES: Final = ("", "Excel Basics", 'He said "yes"\\', "Größe\u2028 \x7f😀", "<script>&amp;")
CARDS: Final = [
    Card(one, TITLES[i % len(TITLES)], language="en" if i % 2 else "de", retired=i % 11 == 10)
    for i, one in enumerate(COURSES)
]
USERS: Final = [*(f"u{i}" for i in range(8)), "a.b_c~d:e@f-g", "ann smith", "ü", "a/b", "a%b", "x" * 255, "ghost"]
OF_LIST: Final = "/v1/learners/{}/recommendations"


class Clock:
    """The quotas' clock."""

    now = 100.0

    def __call__(self) -> float:
        """Return the time that the test has set."""
        return self.now


@dataclass
class House:
    """Both ways to the same state."""

    state: State
    control: ControlLog
    ends: Ends
    clock: Clock
    fast: Served
    ordinary: Served

    async def compare(self, request: bytes) -> bytes:
        """Return the answer that both ways give."""
        self.clock.now += 0.003
        fast, ordinary = await self.fast.answer(request), await self.ordinary.answer(request)
        assert fast == ordinary, request
        return fast

    async def look(self) -> None:
        """Let both take in what stands in Redis."""
        await self.fast.look()
        await self.ordinary.look()

    @property
    def taken(self) -> int:
        """How many requests the fast lane has answered by itself."""
        return self.ordinary.app.requests - self.fast.app.requests


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server.redis_url


async def _house(redis_url: str, **settings: Any) -> AsyncIterator[House]:
    control, ends, clock = ControlLog("unused:1"), Ends(), Clock()
    control.state = ControlState(partitions=PARTITIONS, model_version="m1", model_epoch=-1)
    ends.end = 101
    async with AsyncExitStack() as stack:
        fast, ordinary = [
            await stack.enter_async_context(served(redis_url, control, ends, clock, lane, **settings))
            for lane in (True, False)
        ]
        redis = stack.enter_context(Redis.from_url(redis_url))
        redis.flushdb()
        house = House(State(redis), control, ends, clock, fast, ordinary)
        await furnish(house)
        yield house


@pytest.fixture
async def house(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr(lists_module, "time", SimpleNamespace(time=lambda: NOW))
    async for one in _house(redis_url):
        yield one


async def furnish(house: House) -> None:
    """Open the shards and write what is shared."""
    state = house.state
    for shard in range(PARTITIONS):
        fields: dict[Any, Any] = {"generation": 0, "status": "live", "nonce": "0" * 32, "applied": 100}
        state.redis.hset(ShardKeys(shard, 0).meta, mapping=fields)
    popular = [
        Candidate(one, 1 - i / 90, (0.0, 0.0, 0.0, 1 - i / 90, 0.0), Source.POPULAR, None)
        for i, one in enumerate(COURSES)
    ]
    state.write_shared(CARDS, popular, epoch=time.time_ns())
    state.write_cold(popular[5:20])
    await house.look()


def a_list(draw: random.Random) -> tuple[list[Candidate], tuple[str, ...]]:
    """Return candidates and causes."""
    causes = tuple(draw.sample(COURSES, draw.choice((0, 1, 5, 30))))
    ids = draw.sample(COURSES, draw.choice((0, 3, 12, 50, 60, 60, 63)))
    scores = sorted((draw.uniform(-9, 9) for _ in ids), reverse=True)
    rows = []
    for course_id, score in zip(ids, scores, strict=True):
        popular = draw.choice((0.0, 0.0, draw.random()))
        cause = draw.randrange(len(causes)) if causes and draw.random() < 0.6 else None
        components = (score, draw.random(), draw.random(), popular, 0.0)
        rows.append(Candidate(course_id, score, components, draw.choice(tuple(Source)), cause))
    return rows, causes


def a_record(draw: random.Random) -> bytes:
    """Return a course's registers."""

    def stamp(rank: Rank) -> bytes:
        return pack_stamp(draw.randrange(1, 10**6), rank, f"e{draw.random()}")

    kinds = draw.sample((Rank.ENROLLED, Rank.PROGRESSED, Rank.COMPLETED), draw.randint(1, 3))
    registers = {int(rank): stamp(rank) + (pack_fraction(0.5) if rank == Rank.PROGRESSED else b"") for rank in kinds}
    if draw.random() < 0.3:
        registers[int(Rank.ENROLLED)] = stamp(Rank.DROPPED)
    return join_record(b"", registers)


def write_learner(state: State, user_id: str, draw: random.Random) -> None:
    """Write a learner as he may stand in Redis."""
    keys = state.keys(user_id)
    state.redis.delete(keys.candidates(user_id), keys.history(user_id), keys.feedback(user_id), keys.pending(user_id))
    rows, causes = a_list(draw)
    if draw.random() < 0.9:
        state.write_list(user_id, rows, draw.randrange(101), causes)
    taken = {*causes, *draw.sample(COURSES, 5)} if draw.random() < 0.9 else ()
    state.write_learner(user_id, {one: a_record(draw) for one in taken}, Header(draw.randrange(101), -1))
    for course_id in draw.sample(COURSES, draw.choice((0, 0, 2))):
        register = pack_stamp(1, Rank.FEEDBACK, "f") + bytes([draw.choice(list(FEEDBACK_CODES.values()))])
        state.redis.hset(keys.feedback(user_id), course_id, register)
    if draw.random() < 0.3:
        write = Pending(draw.choice((99, 100, 101, 150)), draw.choice((Rank.ENROLLED, Rank.DROPPED, Rank.COMPLETED)))
        state.redis.hset(keys.pending(user_id), draw.choice(COURSES), pack_pending(write))
    if draw.random() < 0.3:
        state.redis.zadd(keys.dirty, {user_id: 1.0})


def an_experiment(draw: random.Random) -> Experiment:
    """Return an experiment whose arms differ in their strategies."""
    strategies: list[Strategy] = ["hybrid", draw.choice(("hybrid", "popular", "content"))]
    arms = tuple(Arm(name=f"arm{i}", strategy=one, share=0.5) for i, one in enumerate(strategies))
    return Experiment(ExperimentStarted(name="x", salt=f"s{draw.random()}", arms=arms), epoch=7, started_ms=0)


async def change_world(house: House, draw: random.Random, number: int) -> None:
    """Put everything into another state; the first three worlds are whole, and so are half of the others."""
    state = house.state
    for user_id in USERS[:-1]:
        write_learner(state, user_id, draw)
    is_whole = number < 3 or draw.random() < 0.5
    statuses = ["live"] if is_whole else ["live", "building", "wiping", "retired"]
    for shard in range(PARTITIONS):
        state.redis.hset(ShardKeys(shard, 0).meta, "status", draw.choice(statuses))
    house.ends.end = 101 if is_whole else draw.choice((101, 150, None))
    if not is_whole and draw.random() < 0.5:
        for one in (house.fast, house.ordinary):
            one.services.watch.trust.doubt_all()
    experiment = an_experiment(draw) if draw.random() < 0.4 else None
    house.control.state = replace(house.control.state, experiment=experiment)
    if draw.random() < 0.3:
        state.redis.script_flush()
    await house.look()


QUERIES: Final = (
    "", "?", "?limit=5", "?limit=10", "?limit=100", "?limit=1", "?strategy=hybrid", "?limit=3&strategy=hybrid",
    "?strategy=hybrid&limit=12", "?limit=0", "?limit=101", "?limit=05", "?limit=+5", "?limit=%35", "?limit=5%20",
    "?limit=5&", "?&limit=5", "?limit=5&limit=6", "?limit=6&limit=x", "?LIMIT=5", "?limit", "?limit=", "?limit=5;a=1",
    "?limit=5#x", "?strategy=Hybrid", "?strategy=", "?strategy=hybrid&strategy=popular", "?strategy=popular",
    "?strategy=collaborative&limit=4", "?strategy=content", "?strategy=trending", "?strategy=magic", "?foo=1",
    "?limit=5&foo=1", "?diversity=0.5", "?diversity=nan", "?explore=false", "?explore=maybe", "?language=en",
    "?category=", "?level=%00", "?prerequisites=met", "?wait_ms=0&after=learner-events:0:5", "?after=x", "?after=",
    "?wait_ms=-1", "?limit=%", "?limit=%ff", "??", "?=", "?limit=\xc3\xbc", "?limit=1e1", "?limit=10.0", "?limit=٣",
)  # fmt: skip
USUAL: Final = QUERIES[:9]
STRANGE_PATHS: Final = (
    OF_LIST.format("u1") + "/", OF_LIST.format("u1").upper(), "/" + OF_LIST.format("u1"), OF_LIST.format(""),
    OF_LIST.format("%00"), OF_LIST.format("%75%31"), OF_LIST.format("a%2Fb"), OF_LIST.format("a%252Fb"),
    OF_LIST.format("."), OF_LIST.format(".."), OF_LIST.format("y" * 256), OF_LIST.format("%ff"), OF_LIST.format("u1;v"),
    OF_LIST.format("u+1"), "/v1/learners/u1/recommendation", "/v1/learners/u1", "/livez", "/v1/learners/u1/nothing",
    "http://elsewhere" + OF_LIST.format("u1"), "*",
)  # fmt: skip
LONG_S: Final = 86_400
"""Made when the tests are collected, used whenever their turn comes."""
READER: Final = token("service", "reader", LONG_S)
TOKENS: Final = {user_id: token(user_id, "learner", LONG_S) for user_id in USERS} | {
    "": token("x", "", LONG_S),
    "both": token("u1", "learner reader", LONG_S),
}
FORGED: Final = jwt.encode({"sub": "s", "scope": "reader", "exp": time.time() + LONG_S}, "z" * 40, "HS256")
STRANGE_AUTHORIZATIONS: Final = (
    "", f"Authorization: bearer {READER}\r\n", f"AUTHORIZATION: Bearer  {READER}\r\n", "Authorization: Basic eDp5\r\n",
    f"Authorization: Bearer {READER} \r\n", f"Authorization: Bearer {READER} x\r\n", "Authorization: Bearer\r\n",
    "Authorization: Bearer a.b.c\r\n", f"Authorization: Bearer {token('s', 'reader', ttl_s=-5)}\r\n",
    f"Authorization: Bearer {FORGED}\r\n",
    f"Authorization: Bearer {READER}\r\nAuthorization: Bearer {TOKENS['u1']}\r\n",
    f"Authorization: Bearer {TOKENS['']}\r\nAuthorization: Bearer {READER}\r\n", f"Authorization:\tBearer {READER}\r\n",
    f"Authorization: Bearer \xe9{READER}\r\n", f"X-Authorization: Bearer {READER}\r\n",
)  # fmt: skip
HEADERS: Final = (
    "", "Accept: text/html\r\n", "Accept-Encoding: gzip, br\r\n", "If-None-Match: *\r\n", "Range: bytes=0-5\r\n",
    "Content-Length: 0\r\n", "Content-Length: 99999999\r\n", "Content-Length: nine\r\n", "Cookie: \xff\xfe\r\n",
    "X-Long: " + "x" * 9_000 + "\r\n",
    "Expect: 100-continue\r\n", "Upgrade: h2c\r\n", "X-Forwarded-For: 1.2.3.4\r\n", "Host: a\r\nHost: b\r\n",
    "RateLimit: x\r\n", "X-HTTP-Method-Override: DELETE\r\n", ": empty\r\n", "No colon\r\n", "Traceparent: 00-x\r\n",
)  # fmt: skip
METHODS: Final = ("HEAD", "POST", "PUT", "OPTIONS", "DELETE", "PATCH", "get", "TRACE", "BREW")


def a_request(draw: random.Random) -> bytes:
    """Return a request as it may come: half of them usual, each of the others strange in one way or several."""

    def strange() -> bool:
        return draw.random() < 0.2

    user_id = draw.choice(USERS if strange() else USERS[:9])
    method = draw.choice(METHODS) if draw.random() < 0.08 else "GET"
    path = draw.choice(STRANGE_PATHS) if draw.random() < 0.1 else OF_LIST.format(quote(user_id, safe=":@"))
    query = draw.choice(QUERIES) if strange() else draw.choice(USUAL)
    if draw.random() < 0.05:
        query = "?" + "".join(draw.choice("limt=&5%+;#strategy[]\x7f\xfc") for _ in range(draw.randrange(20)))
    bearer = draw.choice((READER, TOKENS[user_id], TOKENS[user_id], TOKENS["both"], draw.choice(list(TOKENS.values()))))
    authorization = draw.choice(STRANGE_AUTHORIZATIONS) if strange() else f"Authorization: Bearer {bearer}\r\n"
    header = draw.choice(HEADERS) if strange() else ""
    body, version = "", draw.choice(("1.1",) * 9 + ("1.0",))
    if draw.random() < 0.03:
        header, body = "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"
    text = f"{method} {path}{query} HTTP/{version}\r\nHost: x\r\n{header}{authorization}Connection: close\r\n\r\n{body}"
    return text.encode("utf-8" if draw.random() < 0.5 else "latin-1", errors="ignore")


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


def usual(user_id: str = "u1", bearer: str = READER, query: str = "") -> bytes:
    """Return a request that the fast lane understands."""
    path = OF_LIST.format(user_id)
    return f"GET {path}{query} HTTP/1.1\r\nAuthorization: Bearer {bearer}\r\nConnection: close\r\n\r\n".encode()


def plain_learner(house: House, user_id: str = "u1") -> None:
    """Write a learner with a list of his own and nothing else."""
    own = [Candidate(one, 9.0 - i / 8, (1.0,) * 5, Source.CONTENT, None) for i, one in enumerate(COURSES[:40])]
    house.state.write_list(user_id, own)


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
    async for house in _house(redis_url, learner_quota=5, quota_window_s=10):
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
        async for house in _house(server.redis_url, read_timeout_s=0.5):
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
