"""Speed of look-ups over HTTP: the API as it is started, against a bare ASGI constant and the same in plain FastAPI.

All serve at once, one process each, from one Redis; the load (`bench/load.py`, a process of its own, 32 connections
that are kept) goes to one after the other, turn by turn, so that what else the machine does meets all of them. CPU is
that of the serving process, user and system, as Linux counts it.
"""

import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import httpx
import msgspec
from redis import Redis

from bench.load import Answered, Load
from bench.lookup_state import PARTITIONS, fill, fill_plain, learners
from bench.processes import cpu_s, resident_mb
from deploy.embedded import EmbeddedStack, embedded
from deploy.ports import LOOPBACK, free_port
from deploy.this_python import dying_with_us, run_module
from schemas.errors import NotReadyError

READY_S: Final = 120.0
_SECRET: Final = "signs the tokens of this bench alone"
_PATH: Final = "/v1/learners/{}/recommendations"
_CHECKED: Final = 20


class LookupSpeed(NamedTuple):
    """Medians over the turns; `ratio_...`: our throughput to the other's, turn by turn. Latencies: open loop.

    The load of the open loop is half of `requests_per_s`, and latency counts from when a request was due.
    """

    cpu_us_per_request: float
    requests_per_s: float
    ratio_bare_asgi: float
    ratio_plain_fastapi: float
    p99_ms: float
    p50_ms: float
    open_loop_rate: float
    bare_asgi_p99_ms: float
    """At the same rate: what this machine and the generator add to anybody."""
    cpu_us_bare_asgi: float
    cpu_us_plain_fastapi: float
    cpu_us_ordinary: float
    """Of our own route without the fast lane."""
    ratio_ordinary: float
    redis_cpu_us_per_request: float
    generator_cpu_us_per_request: float
    start_s: float
    """From the start of the process until it is ready."""
    resident_mb: float
    """After all of the load."""


class Server(NamedTuple):
    """A running server."""

    name: str
    port: int
    pid: int
    start_s: float


class Turn(NamedTuple):
    """A turn of the load at a server."""

    answered: Answered
    cpu_us: float
    redis_cpu_us: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.answered.requests / self.answered.seconds


@contextmanager
def _serving(name: str, command: tuple[str, ...], port: int, ready: str, **settings: str) -> Iterator[Server]:
    """Run a server until it answers `ready` with 200, and as long as it is wanted."""
    began = time.perf_counter()
    process = subprocess.Popen(dying_with_us(*command), env={**os.environ, **settings}, stdout=subprocess.DEVNULL)
    try:
        while not _answers(port, ready):
            if process.poll() is not None or time.perf_counter() - began > READY_S:
                raise NotReadyError(f"the server {name} did not start: see its lines above")
            time.sleep(0.02)
        yield Server(name, port, process.pid, time.perf_counter() - began)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int, path: str) -> bool:
    """Return whether a server answers with 200; asked often, so by little code: it must not take the other's CPU."""
    try:
        with closing(HTTPConnection(LOOPBACK, port, timeout=2)) as connection:
            connection.request("GET", path, headers=_headers())
            return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False


def _headers() -> dict[str, str]:
    import jwt

    claims = {"sub": "bench", "scope": "reader", "exp": int(time.time()) + 3_600}
    return {"Authorization": f"Bearer {jwt.encode(claims, _SECRET, 'HS256')}"}


def _api(stack: EmbeddedStack, name: str, fast_lane: bool) -> Any:
    port = free_port()
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers, "REDIS_URL": stack.redis_url, "API_HOST": LOOPBACK,
        "API_PORT": str(port), "JWT_SECRET": _SECRET, "FAST_LANE": str(fast_lane).lower(), "LOG_LEVEL": "warning",
        "SERVICE_QUOTA": "1000000",
    }  # fmt: skip
    return _serving(name, run_module("api"), port, "/readyz", **settings)


def _reference(target: str, ready: str, *options: str, **settings: str) -> Any:
    port = free_port()
    usual = ("--host", LOOPBACK, "--port", str(port), "--loop", "uvloop", "--http", "httptools", "--no-access-log")
    command = run_module("uvicorn", f"bench.references.{target}", *usual, "--log-level", "warning", *options)
    return _serving(target, command, port, ready, **settings)


def _lists(server: Server, **query: Any) -> dict[str, dict[str, Any]]:
    """Return what a server answers for every learner."""
    with httpx.Client(base_url=f"http://{LOOPBACK}:{server.port}", headers=_headers(), timeout=10) as client:
        return {one: client.get(_PATH.format(one), params=query).raise_for_status().json() for one in learners()}


def _await_whole(server: Server) -> None:
    """Wait until the API knows that the state is whole."""
    end = time.monotonic() + READY_S
    while time.monotonic() < end:
        found = httpx.get(f"http://{LOOPBACK}:{server.port}/readyz").json()
        if not found["degraded_shards"]:
            return
        time.sleep(0.05)
    raise NotReadyError("the shards are still degraded")


def _check_same(ours: Server, plain: Server) -> None:
    """Raise unless both answer the same, but for the age in the moment of asking."""
    for user_id in learners()[:_CHECKED]:
        found = [
            httpx.get(f"http://{LOOPBACK}:{one.port}{_PATH.format(user_id)}", headers=_headers()).json()
            for one in (ours, plain)
        ]
        for one in found:
            one.pop("age_s")
        if found[0] != found[1]:
            raise NotReadyError(f"the reference answers another list than ours: {found}")


def _put_load(server: Server, redis_pid: int, seconds: float, rate: float = 0.0) -> Turn:
    """Let a generator of its own process load a server."""
    paths = [_PATH.format(one) for one in learners()]
    load = Load(port=server.port, paths=paths, headers=_headers(), seconds=seconds, rate=rate)
    before = cpu_s(server.pid), cpu_s(redis_pid)
    found = subprocess.run(
        run_module("bench.load"), input=msgspec.json.encode(load), stdout=subprocess.PIPE, check=True
    )
    answered = msgspec.json.decode(found.stdout, type=Answered)
    if answered.failed or answered.unanswered or not answered.requests:
        raise NotReadyError(f"{server.name} did not answer everything: {answered}")
    used, redis_used = cpu_s(server.pid) - before[0], cpu_s(redis_pid) - before[1]
    return Turn(answered, used * 1e6 / answered.requests, redis_used * 1e6 / answered.requests)


def measure(seconds: float = 3.0, turns: int = 5) -> LookupSpeed:
    """Return the speeds; each turn loads each server for so many seconds. Its stack starts and ends with the call."""
    with ExitStack() as everything:
        folder = Path(everything.enter_context(TemporaryDirectory(prefix="bench-lookup-")))
        stack = everything.enter_context(embedded(folder, PARTITIONS))
        redis = everything.enter_context(Redis.from_url(stack.redis_url))
        fill(redis)
        lane = everything.enter_context(_api(stack, "lane", fast_lane=True))
        ordinary = everything.enter_context(_api(stack, "ordinary", fast_lane=False))
        _await_whole(lane)
        _await_whole(ordinary)
        body_bytes = _prepare_plain(redis, ordinary)
        ready = _PATH.format(learners()[0])
        plain = everything.enter_context(
            _reference("plain_fastapi:app", ready, REDIS_URL=stack.redis_url, JWT_SECRET=_SECRET)
        )
        bare = everything.enter_context(
            _reference("bare_asgi:create", "/", "--factory", BENCH_BODY_BYTES=str(body_bytes))
        )
        _check_same(lane, plain)
        return _measured((bare, plain, ordinary, lane), stack.pids["redis"], seconds, turns)


def _prepare_plain(redis: Redis, ordinary: Server) -> int:
    """Write what the plain reference reads; return the bytes of an answer."""
    first, more = _lists(ordinary), _lists(ordinary, limit=90, explore="false")
    sizes = [len(msgspec.json.encode(one)) for one in first.values()]
    for user_id, answer in first.items():
        shown = {item["course_id"] for item in answer["items"]}
        answer["items"] += [item for item in more[user_id]["items"] if item["course_id"] not in shown]
    fill_plain(redis, first)
    return round(median(sizes))


def _measured(servers: tuple[Server, ...], redis_pid: int, seconds: float, turns: int) -> LookupSpeed:
    for server in servers:
        _put_load(server, redis_pid, min(seconds, 1.0))  # what is made at first use is made
    rounds = [[_put_load(server, redis_pid, seconds) for server in servers] for _ in range(turns)]
    columns: Mapping[str, list[Turn]] = {
        server.name: [one[number] for one in rounds] for number, server in enumerate(servers)
    }
    bare, plain, ordinary, lane = (columns[server.name] for server in servers)
    rate = median(turn.rate for turn in lane) / 2
    opened = [
        [_put_load(server, redis_pid, seconds, rate) for server in (servers[-1], servers[0])] for _ in range(turns)
    ]
    ours, others = zip(*opened, strict=True)
    return LookupSpeed(
        cpu_us_per_request=_median(turn.cpu_us for turn in lane),
        requests_per_s=_median((turn.rate for turn in lane), 0),
        ratio_bare_asgi=_ratio(lane, bare),
        ratio_plain_fastapi=_ratio(lane, plain),
        p99_ms=_median((turn.answered.p99_ms for turn in ours), 2),
        p50_ms=_median((turn.answered.p50_ms for turn in ours), 2),
        open_loop_rate=round(rate),
        bare_asgi_p99_ms=_median((turn.answered.p99_ms for turn in others), 2),
        cpu_us_bare_asgi=_median(turn.cpu_us for turn in bare),
        cpu_us_plain_fastapi=_median(turn.cpu_us for turn in plain),
        cpu_us_ordinary=_median(turn.cpu_us for turn in ordinary),
        ratio_ordinary=_ratio(lane, ordinary),
        redis_cpu_us_per_request=_median(turn.redis_cpu_us for turn in lane),
        generator_cpu_us_per_request=_median(turn.answered.cpu_us_per_request for turn in lane),
        start_s=round(servers[-1].start_s, 2),
        resident_mb=round(resident_mb(servers[-1].pid), 1),
    )


def _median(values: Iterator[float], digits: int = 1) -> float:
    return round(median(values), digits)


def _ratio(ours: list[Turn], others: list[Turn]) -> float:
    return round(median(mine.rate / other.rate for mine, other in zip(ours, others, strict=True)), 2)
