"""An experiment between models over real workers and a real API: each arm its own model, and back whatever ends it."""

import asyncio
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import numpy as np
import pytest

from adapters.follow import append_control
from cli.app import run
from deploy.ports import free_port
from recommender.popularity import popularity_of
from recommender.recommend import Recommender, prepare
from schemas.events import Enrolled, Erased
from schemas.experiments import Arm, Experiment, ExperimentStarted, arm_of
from stream.lists import Marked, learner_from
from stream.refresh import read
from stream.replay import rebuild
from stream.view import ShardView
from tests.api_server import running_api, until
from tests.integration.campus import expect_owners
from tests.integration.test_cli import answer_of
from tests.integration.workers import System, connected, running_system, shard_of_user, show_commands, take_in
from tests.models import COURSES, going_live, small_model, store_bundle

USERS = [f"learner {i}" for i in range(30)]
PATIENCE_S = 90
METRICS_PORT = free_port()
CATALOGUE = {course.course_id: course for course in COURSES}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Run two workers, with metrics of the second, over m-0, which is live, and m-1 and m-2, which are not."""
    with running_system(tmp_path_factory.mktemp("models"), ["w1"]) as running:
        running.start("w2", METRICS_PORT=str(METRICS_PORT))
        until(lambda: running.is_ready("w2"), PATIENCE_S)
        for seed in (1, 2):
            manifest = store_bundle(running.bundles, running.folder, seed)
            asyncio.run(append_control(running.stack.bootstrap_servers, going_live(manifest)[0]))
        yield running


@pytest.fixture(scope="module")
def api(system: System) -> Iterator[httpx.Client]:
    """Run the API over them."""
    with running_api(system.stack.bootstrap_servers, system.stack.redis_url, READ_TIMEOUT_S="10") as client:
        yield client


@pytest.fixture(autouse=True)
def _found(system: System, api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands find the system."""
    monkeypatch.setenv("REDIS_URL", system.stack.redis_url)
    monkeypatch.setenv("BUNDLE_URL", str(system.bundles))
    show_commands(monkeypatch, system, api)


def enrol_everybody(system: System, course_id: str) -> None:
    """Enrol all learners, now."""
    at = time.time()
    take_in(
        system, *(Enrolled(event_id=f"{u} {course_id}", user_id=u, course_id=course_id, occurred_at=at) for u in USERS)
    )


def given(api: httpx.Client, user_id: str) -> dict[str, Any]:
    """Return the list that a learner is given."""
    answer = api.get(f"/v1/learners/{user_id}/recommendations", params={"limit": 12})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def versions(api: httpx.Client) -> dict[str, str]:
    """Return the model that each learner's list is made with."""
    return {user: given(api, user)["model_version"] for user in USERS}


def become(api: httpx.Client, wanted: Mapping[str, str], split: Mapping[str, str]) -> None:
    """Wait until each learner's list is made with the model that his arm wants, and see that it is."""
    expected = {user: wanted[split[user]] for user in USERS}
    until(lambda: versions(api) == expected, PATIENCE_S)
    time.sleep(1.5)
    assert versions(api) == expected


async def _embeddings(system: System) -> dict[str, tuple[np.ndarray[Any, Any], str]]:
    """Return by learner the embedding that stands, and the seed of the model that computes the same."""
    known = {seed: Recommender(prepare(small_model(seed)), CATALOGUE, popularity_of({})) for seed in range(4)}
    found = {}
    async with connected(system) as (client, _):
        for user in USERS:
            answers = await read(client, [Marked(ShardView(shard_of_user(user), ""), user)])
            packed: Any = await client.get(shard_of_user(user).embedding(user))
            stands = np.frombuffer(packed[8:], dtype=">f2").astype(np.float32)
            learner = learner_from(answers)[1]
            own = [s for s, one in known.items() if np.allclose(one.rank([learner])[0].embedding, stands, atol=0.01)]
            assert len(own) == 1, (user, own)
            found[user] = stands, f"m-{own[0]}"
    return found


def expect_made_with(system: System, api: httpx.Client, expected: Mapping[str, str]) -> None:
    """See by the numbers which model made each learner's list, not only by what is said of it."""
    found = asyncio.run(_embeddings(system))
    assert {user: version for user, (_, version) in found.items()} == dict(expected)
    for user in USERS[:5]:
        said = api.get(f"/v1/learners/{user}/embedding").json()
        assert said["model_version"] == expected[user]
        assert np.allclose(said["embedding"], found[user][0], atol=0.01)


def missing_models() -> float:
    """Return how many models of arms a worker lacks."""
    text = httpx.get(f"http://127.0.0.1:{METRICS_PORT}/metrics").text
    found = re.search(r"^coursestream_arm_models_missing (\S+)$", text, re.MULTILINE)
    assert found
    return float(found[1])


def arms_of(api: httpx.Client) -> dict[str, dict[str, Any]]:
    """Return what is answered of the newest experiment's arms."""
    return {arm["name"]: arm for arm in api.get("/v1/experiments").json()["experiments"][0]["arms"]}


@pytest.mark.timeout(900)
def test_models_are_split_by_the_hash_served_beside_each_other_and_all_go_back(
    system: System, api: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    enrol_everybody(system, "c00")
    assert set(versions(api).values()) == {"m-0"}
    _what_cannot_be_served_starts_nothing(system, api, capsys)

    arguments = ("--salt", "e2e", "--arm", "live", "--arm", "m-1", "--arm", "new:m-2")
    started = answer_of(capsys, "experiments", "start", "by-model", *arguments)
    split = _split_by_hash()
    become(api, {"live": "m-0", "m-1": "m-1", "new": "m-2"}, split)
    expect_made_with(system, api, {user: {"live": "m-0", "m-1": "m-1", "new": "m-2"}[split[user]] for user in USERS})
    answers = {user: given(api, user) for user in USERS}
    assert {user: (one["experiment"], one["arm"]) for user, one in answers.items()} == {
        user: ("by-model", arm) for user, arm in split.items()
    }
    lists = {
        arm: {tuple(i["course_id"] for i in answers[u]["items"]) for u in USERS if split[u] == arm}
        for arm in split.values()
    }
    assert all(len(one) == 1 for one in lists.values()), "all have the same history"
    assert len(set.union(*lists.values())) == 3, "each model has an order of its own"

    _fresh_events_are_for_all_arms_and_counted(system, api, split)
    between = time.time()
    _promotion_and_rollback_are_for_the_live_arm(system, api, capsys, split)
    _of_then_is_the_arms_model(between, capsys, split)
    _a_new_generation_is_as_the_old_one(system, api, split)
    _an_erased_learner_is_gone_and_stays_away(system, api, split, started["epoch"])
    _a_lost_bundle_is_refused_for_its_arm_alone(system, api, capsys, split)

    answer_of(capsys, "experiments", "end", "by-model", "--reason", "seen enough")
    become(api, dict.fromkeys(split.values(), "m-0"), split)
    expect_made_with(system, api, dict.fromkeys(USERS, "m-0"))
    until(lambda: missing_models() == 0)
    enrol_everybody(system, "c05")
    assert set(versions(api).values()) == {"m-0"}
    system.expect_alive()


def _split_by_hash() -> dict[str, str]:
    arms = tuple(Arm(name=name, share=1 / 3) for name in ("live", "m-1", "new"))
    record = ExperimentStarted(name="by-model", salt="e2e", arms=arms)
    split = {user: arm_of(user, Experiment(record, 0, 0)).name for user in USERS}
    assert min(list(split.values()).count(name) for name in ("live", "m-1", "new")) > 4
    return split


def _what_cannot_be_served_starts_nothing(
    system: System, api: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    hidden = (system.bundles / "m-2").rename(system.folder / "hidden")
    for arm, why in (
        ("best", "'best' is no strategy .hybrid, .* and there is no such model"),
        ("m-2", "m-2 is not in"),
    ):
        assert run(["experiments", "start", "by-model", "--arm", "live", "--arm", arm]) == 1
        said = capsys.readouterr().err
        assert re.search(why, said) and said.count("\n") == 1
    hidden.rename(system.bundles / "m-2")
    assert api.get("/v1/experiments").json()["experiments"] == []


def _fresh_events_are_for_all_arms_and_counted(system: System, api: httpx.Client, split: Mapping[str, str]) -> None:
    until(lambda: {name: arm["learners"] for name, arm in arms_of(api).items()} == _sizes(split))
    enrol_everybody(system, "c01")
    for user in USERS:
        assert not {"c00", "c01"} & {item["course_id"] for item in given(api, user)["items"]}
    become(api, {"live": "m-0", "m-1": "m-1", "new": "m-2"}, split)
    until(lambda: {name: arm["tests"] for name, arm in arms_of(api).items()} == _sizes(split), 30)
    until(
        lambda: (
            _judged(api) == {"m-0": _sizes(split)["live"], "m-1": _sizes(split)["m-1"], "m-2": _sizes(split)["new"]}
        ),
        30,
    )


def _sizes(split: Mapping[str, str]) -> dict[str, int]:
    return {name: list(split.values()).count(name) for name in ("live", "m-1", "new")}


def _judged(api: httpx.Client) -> dict[str, int]:
    """Return by model how many enrolments live quality has judged."""
    found = api.get("/v1/quality").json()["models"]
    return {
        one["model_version"]: one["tests"] for one in found if one["strategy"] == "hybrid" and one["history"] == "1"
    }


def _promotion_and_rollback_are_for_the_live_arm(
    system: System, api: httpx.Client, capsys: pytest.CaptureFixture[str], split: Mapping[str, str]
) -> None:
    manifest = store_bundle(system.bundles, system.folder, 3)
    asyncio.run(append_control(system.stack.bootstrap_servers, *going_live(manifest)))
    become(api, {"live": "m-3", "m-1": "m-1", "new": "m-2"}, split)
    assert answer_of(capsys, "models", "rollback")["live"] == "m-0"
    become(api, {"live": "m-0", "m-1": "m-1", "new": "m-2"}, split)


def _of_then_is_the_arms_model(moment: float, capsys: pytest.CaptureFixture[str], split: Mapping[str, str]) -> None:
    for arm, version in (("live", "m-0"), ("new", "m-2")):
        user = next(user for user in USERS if split[user] == arm)
        found = answer_of(capsys, "recommend", user, "--as-of", f"{moment:.3f}")
        assert (found["experiment"], found["arm"], found["model_version"]) == ("by-model", arm, version)


def _a_new_generation_is_as_the_old_one(system: System, api: httpx.Client, split: Mapping[str, str]) -> None:
    asyncio.run(rebuild(system.connections))
    become(api, {"live": "m-0", "m-1": "m-1", "new": "m-2"}, split)


def _an_erased_learner_is_gone_and_stays_away(
    system: System, api: httpx.Client, split: Mapping[str, str], epoch: int
) -> None:
    """Erase somebody who is in none of the lists looked at later."""
    user = next(user for i in range(99) if arm_of(user := f"gone {i}", _started(epoch)).name == "new")
    take_in(system, Enrolled(event_id=user, user_id=user, course_id="c00", occurred_at=time.time() - 60))
    assert given(api, user)["model_version"] == "m-2"
    take_in(system, Erased(event_id=f"{user} erased", user_id=user, occurred_at=time.time()))

    async def left() -> int:
        async with connected(system) as (client, _):
            keys = shard_of_user(user)
            found: int = await client.exists(keys.candidates(user), keys.embedding(user))
            return found

    assert asyncio.run(left()) == 0
    assert (given(api, user)["arm"], given(api, user)["model_version"]) == ("new", "m-0"), "the popular list"


def _started(epoch: int) -> Experiment:
    arms = tuple(Arm(name=name, share=1 / 3) for name in ("live", "m-1", "new"))
    return Experiment(ExperimentStarted(name="by-model", salt="e2e", arms=arms), epoch, 0)


def _a_lost_bundle_is_refused_for_its_arm_alone(
    system: System, api: httpx.Client, capsys: pytest.CaptureFixture[str], split: Mapping[str, str]
) -> None:
    """Whoever loses the bundle of an arm and starts anew decides for all workers, and events go on meanwhile."""
    shutil.rmtree(system.bundles / "m-2")
    assert missing_models() == 0
    system.kill("w1")
    system.start("w1")
    until(lambda: system.is_ready("w1"), PATIENCE_S)
    asyncio.run(expect_owners(system))
    become(api, {"live": "m-0", "m-1": "m-1", "new": "m-0"}, split)
    expect_made_with(system, api, {user: "m-1" if arm == "m-1" else "m-0" for user, arm in split.items()})
    enrol_everybody(system, "c03")
    become(api, {"live": "m-0", "m-1": "m-1", "new": "m-0"}, split)
    arms = arms_of(api)
    assert [arms[name]["refused"] for name in ("live", "m-1")] == [None, None]
    assert "m-2 is not in" in arms["new"]["refused"] and arms["new"]["model"] == "m-2"
    assert missing_models() == 1
    assert "ALARM: learners of arms with m-2 in by-model are given the live model" in system.log()
    assert run(["experiments", "show", "by-model"]) == 0
    assert "refused" in capsys.readouterr().out
