"""Live quality over a real stream: what was enrolled in, by the list that stood before; once, and never again."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from adapters.follow import append_control
from cli.app import run
from deploy.ports import free_port
from schemas.candidates import STRATEGIES, Candidate, CandidateList, Source, Version, pack_candidates
from schemas.control import ModelRolledBack
from schemas.quality import SHARED
from stream.replay import rebuild
from tests.api_server import running_api, token
from tests.integration.campus import Tools, enrolled, listed
from tests.integration.workers import System, connected, publish, running_system, send, shard_of_user
from tests.waiting import until

COURSES = 12


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Run a worker with metrics."""
    settings = {"METRICS_PORT": str(free_port())}
    with running_system(tmp_path_factory.mktemp("quality"), ["w1"], **settings) as running:
        yield running


@pytest.fixture(scope="module")
def api(system: System) -> Iterator[httpx.Client]:
    """Run the API over it."""
    with running_api(system.stack.bootstrap_servers, system.stack.redis_url) as client:
        yield client


def figures(api: httpx.Client) -> dict[tuple[str, str, str], tuple[int, float, float]]:
    """Return (tests, hit rate, reciprocal rank) by model, strategy and history."""
    answer = api.get("/v1/quality", params={"days": 2})
    assert answer.status_code == 200, answer.text
    return {
        (one["model_version"], one["strategy"], one["history"]): (one["tests"], one["hit_rate"], one["reciprocal_rank"])
        for one in answer.json()["models"]
    }


async def counted(api: httpx.Client, tests: int) -> None:
    """Wait until so many tests stand under the strategies `hybrid` and `shared` together."""

    async def holds() -> bool:
        return sum(found[0] for key, found in figures(api).items() if key[1] in ("hybrid", SHARED)) >= tests

    await until(holds, f"{tests} tests")


async def put_list(tools: Tools, user_id: str, epoch: int, *first: str) -> None:
    """Give a learner a known list of sixty: the best first, but for `content`, which reverses it."""
    names = [*first, *(name for i in range(60) if (name := f"k{i:02d}") not in first)]
    rows = [
        Candidate(name, 1 - i / 128, (1 - i / 128, 0.0, i / 128, 1 - i / 128, 1 - i / 128), Source.POPULAR, None)
        for i, name in enumerate(names)
    ]
    packed = pack_candidates(CandidateList(Version(epoch, 0, 0, -1), 1, (), tuple(rows)))
    await tools.client.set(shard_of_user(user_id).candidates(user_id), packed)


async def test_figures_are_what_was_enrolled_in_and_nothing_counts_twice(system: System, api: httpx.Client) -> None:
    async with connected(system) as (client, producer):
        await _judge(Tools(system, client, producer), api)


async def _judge(tools: Tools, api: httpx.Client) -> None:
    # Who has no list is shown the popular one, where nobody has taken anything: all twelve tie.
    await send(tools.producer, enrolled("newcomer", 1))
    await counted(api, 1)
    assert figures(api) == {("m-0", SHARED, "0"): (1, 0.0, round(1 / COURSES, 6))}
    await tools.system.caught_up(tools.client)
    epoch = (await listed(tools.client, "newcomer")).version.model_epoch

    chosen = {"first": "k00", "third": "k02", "fiftieth": "k49", "nowhere": "elsewhere"}
    for user_id in chosen:
        await put_list(tools, user_id, epoch)
    log = await publish(tools.producer, [enrolled(user_id, 1, course) for user_id, course in chosen.items()])
    await counted(api, 5)
    straight = (4, 0.5, round((1_000_000 + 333_333 + 20_000) / 4e6, 6))
    reverse = (4, 0.0, round((16_667 + 17_241 + 90_909) / 4e6, 6))
    wanted: dict[tuple[str, str, str], Any] = {("m-0", one, "0"): straight for one in STRATEGIES}
    wanted |= {("m-0", "content", "0"): reverse, ("m-0", SHARED, "0"): (1, 0.0, round(1 / COURSES, 6))}
    assert figures(api) == wanted

    # A learner with a history; what was taken holds no place: k00 is second of the list, and first of what is shown.
    await tools.system.caught_up(tools.client)
    await put_list(tools, "third", epoch, "k02", "k00")
    await send(tools.producer, enrolled("third", 2, "k00"))
    await counted(api, 6)
    wanted |= {("m-0", one, "1"): (1, 1.0, 1.0) for one in STRATEGIES}
    wanted["m-0", "content", "1"] = (1, 0.0, round(1 / 59, 6))
    assert figures(api) == wanted

    await _expect_no_second_count(tools, api, [entry.event for entry in log], wanted)


async def _expect_no_second_count(tools: Tools, api: httpx.Client, events: list[Any], wanted: dict[Any, Any]) -> None:
    """The same events again, a replay, and a Redis that was emptied: only what is new is counted."""
    system = tools.system
    await publish(tools.producer, events)
    await rebuild(system.connections)
    await system.caught_up(tools.client)
    await put_list(tools, "marker", 0, "k00")
    await send(tools.producer, enrolled("marker", 1, "k00"))
    await counted(api, 7)
    # a list of an epoch before all models: told apart from those of m-0
    wanted |= {("", one, "0"): (1, 1.0, 1.0) for one in STRATEGIES}
    wanted["", "content", "0"] = (1, 0.0, round(1 / 60, 6))
    assert figures(api) == wanted
    assert sums_in_metrics(system) == {"hybrid": 6, SHARED: 1}

    await tools.client.flushall()
    await system.caught_up(tools.client)
    assert figures(api) == {}
    epoch = await append_control(system.stack.bootstrap_servers, ModelRolledBack(version="m-0"))
    await put_list(tools, "another", epoch, "k00")
    await send(tools.producer, enrolled("another", 1, "k00"))
    await counted(api, 1)
    assert figures(api)["m-0", "hybrid", "0"] == (1, 1.0, 1.0)
    assert sum(found[0] for found in figures(api).values()) == len(STRATEGIES)


def test_the_command_shows_what_the_api_answers(
    system: System, api: httpx.Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COURSESTREAM_API_URL", str(api.base_url))
    monkeypatch.setenv("COURSESTREAM_TOKEN", token("tester", "operator"))
    assert run(["models", "quality", "--days", "2", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out) == api.get("/v1/quality", params={"days": 2}).json()
    assert run(["models", "quality"]) == 0
    assert "reciprocal rank" in capsys.readouterr().out


def sums_in_metrics(system: System) -> dict[str, int]:
    """Return the tests that the worker counted, by strategy."""
    text = httpx.get(f"http://127.0.0.1:{system.settings['METRICS_PORT']}/metrics").text
    found = re.findall(
        r'^coursestream_quality_tests_total\{history="[^"]+",strategy="(\w+)"\} (\S+)$', text, re.MULTILINE
    )
    sums: dict[str, int] = {}
    for strategy, value in found:
        sums[strategy] = sums.get(strategy, 0) + int(float(value))
    return {strategy: value for strategy, value in sums.items() if strategy in ("hybrid", SHARED)}
