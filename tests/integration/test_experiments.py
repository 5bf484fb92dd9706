"""An experiment over real workers and a real API: each arm its own lists, counted by arm, and afterwards as before."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from cli.app import run
from schemas.events import Clicked, Enrolled, Erased
from schemas.experiments import Figures
from stream.replay import rebuild
from tests.api_server import running_api, until
from tests.integration.campus import Tools, expect_owners
from tests.integration.test_cli import answer_of
from tests.integration.test_quality import put_list
from tests.integration.workers import System, connected, running_system, shard_of_user, show_commands, take_in

USERS = [f"learner {i}" for i in range(40)]
NEVER_SHOWN = "never shown"
ByArm = dict[str, Figures]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Run two workers."""
    with running_system(tmp_path_factory.mktemp("experiments"), ["w1", "w2"]) as running:
        yield running


@pytest.fixture(scope="module")
def api(system: System) -> Iterator[httpx.Client]:
    """Run the API over them, patient with a busy machine: degraded lists are no part of an experiment."""
    with running_api(system.stack.bootstrap_servers, system.stack.redis_url, READ_TIMEOUT_S="10") as client:
        yield client


@pytest.fixture(autouse=True)
def _found(system: System, api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands find the system."""
    show_commands(monkeypatch, system, api)


def given(api: httpx.Client, user_id: str, **query: str) -> dict[str, Any]:
    """Return the list that a learner is given."""
    answer = api.get(f"/v1/learners/{user_id}/recommendations", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def experiment_of(api: httpx.Client) -> dict[str, Any]:
    """Return what the API answers of the newest experiment."""
    answer = api.get("/v1/experiments")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["experiments"][0]
    return found


def figures(api: httpx.Client) -> ByArm:
    """Return the figures by arm."""
    return {arm["name"]: Figures(*(arm[name] for name in Figures._fields)) for arm in experiment_of(api)["arms"]}


def counted(api: httpx.Client, wanted: ByArm) -> None:
    """Wait until the figures are these; they then stay so."""
    until(lambda: figures(api) == wanted, 30)
    time.sleep(1.5)
    assert figures(api) == wanted


def enrolled(user_id: str, course_id: str, occurred_at: float | None = None) -> Enrolled:
    """Return an enrolment, now."""
    at = time.time() if occurred_at is None else occurred_at
    return Enrolled(event_id=f"{user_id} {course_id}", user_id=user_id, course_id=course_id, occurred_at=at)


def clicked(user_id: str, course_id: str) -> Clicked:
    """Return a click, now."""
    return Clicked(event_id=f"{user_id} {course_id}", user_id=user_id, course_id=course_id, occurred_at=time.time())


async def furnish(system: System) -> None:
    """Give everybody a list of k00 to k59."""
    async with connected(system) as (client, producer):
        for user_id in (*USERS, NEVER_SHOWN):
            await put_list(Tools(system, client, producer), user_id, 0)


async def marks_of(system: System, user_id: str, epoch: int) -> list[bytes]:
    """Return the marks in a learner's shard."""
    async with connected(system) as (client, _):
        found: Any = await client.hkeys(shard_of_user(user_id).experiment_marks(epoch))
        return list(found)


def restart(system: System) -> None:
    """Kill all workers, start them again, and wait until they are at work: what they fill is not counted."""
    for worker_id in list(system.processes):
        system.kill(worker_id)
        system.start(worker_id)
    until(lambda: all(map(system.is_ready, system.processes)), 90)
    asyncio.run(expect_owners(system))
    take_in(system)


def test_an_experiment_from_its_start_to_its_end(
    system: System, api: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(furnish(system))
    assert given(api, USERS[0])["experiment"] is None
    started = answer_of(capsys, "experiments", "start", "sort", "--salt", "e2e", "--arm", "hybrid", "--arm", "popular")
    assert [arm["share"] for arm in started["arms"]] == [0.5, 0.5]
    assert run(["experiments", "start", "other", "--arm", "hybrid", "--arm", "popular"]) == 1
    assert "'sort' runs: end it first" in capsys.readouterr().err
    until(lambda: given(api, NEVER_SHOWN, strategy="hybrid") and api.get("/v1/experiments").json()["experiments"])

    arms = _everybody_is_given_the_list_of_an_arm(api)
    sizes = {arm: sum(one == arm for one in arms.values()) for arm in ("hybrid", "popular")}
    counted(api, {arm: Figures(learners=size, lists=size) for arm, size in sizes.items()})

    events = [event for user in USERS for event in (clicked(user, "k03"), clicked(user, "k04"), enrolled(user, "k00"))]
    late = enrolled(USERS[0], "k05", occurred_at=1_700_000_000)
    take_in(system, *events, late, enrolled(NEVER_SHOWN, "k00"))
    first = {arm: Figures(size, size, 2 * size, size, size, size * (arm == "hybrid")) for arm, size in sizes.items()}
    counted(api, first)
    (compared,) = experiment_of(api)["comparisons"]
    assert (compared["arm"], compared["control"], compared["effect"]) == ("popular", "hybrid", -1.0)
    assert compared["verdict"] == "worse" and compared["p_value"] < 0.05 and compared["high"] < 0

    _nothing_counts_twice(system, api, arms, [event for event in events if isinstance(event, Enrolled)], first)
    _who_is_erased_leaves_no_mark(system, started["epoch"])
    _afterwards_all_is_as_before(system, api, capsys)


def _everybody_is_given_the_list_of_an_arm(api: httpx.Client) -> dict[str, str]:
    arms = {}
    for user_id in USERS:
        answer = given(api, user_id)
        arms[user_id] = answer["arm"]
        assert (answer["experiment"], answer["strategy"]) == ("sort", answer["arm"])
        asked = given(api, user_id, strategy=answer["arm"])  # whoever names a strategy takes no part
        assert (asked["experiment"], asked["arm"], asked["items"]) == (None, None, answer["items"])
    assert min(sum(one == arm for one in arms.values()) for arm in ("hybrid", "popular")) > 10
    return arms


def _nothing_counts_twice(
    system: System, api: httpx.Client, arms: dict[str, str], events: list[Enrolled], first: ByArm
) -> None:
    """The same events again, and a replay, add nothing; over workers that were killed a learner keeps arm and test."""
    take_in(system, *events)
    asyncio.run(rebuild(system.connections))
    counted(api, first)
    restart(system)
    take_in(system, *(enrolled(user_id, "k40") for user_id in USERS))
    assert {user_id: given(api, user_id)["arm"] for user_id in USERS} == arms
    until(lambda: all(figures(api)[arm].lists == 2 * one.lists for arm, one in first.items()), 30)
    time.sleep(1.5)
    for arm, one in figures(api).items():  # enrolments that fillers merged, while shards change hands, are not counted
        assert one == first[arm]._replace(lists=2 * first[arm].lists, enrolments=one.enrolments)
        assert first[arm].enrolments <= one.enrolments <= 2 * first[arm].enrolments


def _who_is_erased_leaves_no_mark(system: System, epoch: int) -> None:
    user_id = USERS[3]
    before = asyncio.run(marks_of(system, user_id, epoch))
    take_in(system, Erased(event_id="e", user_id=user_id, occurred_at=time.time()))
    until(lambda: len(asyncio.run(marks_of(system, user_id, epoch))) == len(before) - 1, 30)


def _afterwards_all_is_as_before(system: System, api: httpx.Client, capsys: pytest.CaptureFixture[str]) -> None:
    shown = answer_of(capsys, "experiments", "show", "sort")
    assert shown == experiment_of(api) and shown["state"] == "running"
    assert run(["experiments", "show", "sort"]) == 0
    assert "worse" in capsys.readouterr().out
    assert answer_of(capsys, "experiments", "end", "sort", "--reason", "seen enough")["ended"] == "sort"
    until(lambda: experiment_of(api)["state"] == "ended")

    before = figures(api)
    answers = [given(api, user_id) for user_id in USERS]
    assert {(one["experiment"], one["arm"], one["strategy"]) for one in answers} == {(None, None, "hybrid")}
    take_in(system, *(enrolled(user_id, "k41") for user_id in USERS))
    counted(api, before)

    listed = answer_of(capsys, "experiments")["experiments"]
    assert [(one["name"], one["state"], one["reason"]) for one in listed] == [("sort", "ended", "seen enough")]
    assert listed[0]["ended_at"] > listed[0]["started_at"]
    assert run(["experiments", "list"]) == 0
    assert "popular worse" in capsys.readouterr().out
    for words, why in (
        (("end", "sort"), "has ended already"),
        (("end", "other"), "there is no experiment 'other'"),
        (("show", "other"), "there is no experiment 'other'"),
        (("start", "sort", "--arm", "hybrid", "--arm", "popular"), "choose another name"),
    ):
        assert run(["experiments", *words]) == 1
        assert why in capsys.readouterr().err
