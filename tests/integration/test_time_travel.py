"""Looking back: the state and the lists of a moment, after much has happened since; and workers killed on the way."""

import json
import random
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, NamedTuple

import httpx
import pytest

from adapters.follow import append_control
from adapters.redis import Client
from api.lists import Query
from cli.app import run
from cli.past import answer_of, recommend_as_of
from schemas.candidates import STRATEGIES, unpack_candidates
from schemas.courses import Course, encode_course
from schemas.errors import NotReadyError
from schemas.events import Clicked, Erased, Feedback, LearnerEvent, ProfileUpdated, Searched, Viewed
from schemas.keys import SHARED_COLD, SHARED_META, ShardKeys
from schemas.topics import COURSES, LEARNER_EVENTS
from stream.digest import DigestResult, digest_as_of, live_digest
from stream.past import past_of
from stream.replay import rebuild
from stream.shared_lists import read_applied
from tests import reference
from tests.api_server import running_api
from tests.integration.campus import some_event
from tests.integration.replays import Tools, keys_of
from tests.integration.workers import PARTITIONS, System, connected, publish, running_system, send, shard_of_user
from tests.lives import NO_EVENTS
from tests.models import going_live, store_bundle
from tests.reference import Logged
from tests.waiting import until

USERS: Final = [f"t{i}" for i in range(24)]
KNOWN: Final = [*USERS, "only searched", "only profile"]
ERASED_LATER: Final = "t0"
NOBODY: Final = "nobody"
LOG: Final[list[Logged]] = []


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Run one worker over four shards with a live model."""
    with running_system(tmp_path_factory.mktemp("travel"), ("w1",)) as running:
        yield running


@pytest.fixture
async def tools(system: System) -> AsyncIterator[Tools]:
    """Connect."""
    async with connected(system) as (client, producer):
        yield Tools(system, client, producer, LOG)


class Moment(NamedTuple):
    """What stood at a moment: the digest, and what the API answered by learner and strategy."""

    at_ms: int
    state: DigestResult
    answers: dict[tuple[str, str], dict[str, Any]]


MOMENTS: Final[list[Moment]] = []


def some_events(seed: int, number: int) -> list[LearnerEvent]:
    dice = random.Random(seed)
    events = [some_event(dice, USERS) for _ in range(number)]
    return [event for event in events if not isinstance(event, Erased)]


async def offer(tools: Tools, course: Course) -> int:
    """Change the catalogue; return its epoch."""
    sent: Any = await tools.producer.send_and_wait(COURSES, encode_course(course), key=course.course_id.encode())
    return int(sent.offset)


async def counted(tools: Tools) -> None:
    """Wait until popularity is that of all that was merged."""
    await tools.caught_up()

    async def holds() -> bool:
        applied, _ = await read_applied(tools.client, 0, PARTITIONS)
        meta: Any = await tools.client.hgetall(SHARED_META)
        return bool(meta.get(b"counted") == str(applied).encode())

    await until(holds, "popularity of all that was merged")


async def settled(tools: Tools, catalogue_epoch: int) -> int:
    """Wait until every list is made from this catalogue and from the counts of all that was merged; return when."""
    await counted(tools)

    async def holds() -> bool:
        meta: Any = await tools.client.hgetall(SHARED_META)
        epochs = [await _catalogue_epoch(tools.client, user) for user in KNOWN]
        is_shared = meta.get(b"catalogue_epoch") == str(catalogue_epoch).encode()
        return is_shared and set(epochs) <= {catalogue_epoch, None}

    await until(holds, "lists of the new catalogue")
    await counted(tools)
    return int(time.time() * 1_000)


async def _catalogue_epoch(client: Client, user_id: str) -> int | None:
    packed: Any = await client.get(shard_of_user(user_id).candidates(user_id))
    return unpack_candidates(packed).version.catalogue_epoch if packed else None


async def ask_all(tools: Tools, api: httpx.Client) -> dict[tuple[str, str], dict[str, Any]]:
    """Ask the API for every learner's lists, once it has seen the shared lists that stand."""
    packed: Any = await tools.client.hget(SHARED_COLD, "")
    made_us = unpack_candidates(packed).generated_us

    async def is_seen() -> bool:
        made_at = _ask(api, NOBODY, "hybrid")["generated_at"] or ""
        return str(made_at).endswith(f"{made_us % 1_000_000:06d}Z")

    await until(is_seen, "the API to see the shared lists")
    pairs = [(user, strategy) for user in (*KNOWN, NOBODY) for strategy in STRATEGIES]
    return {pair: _ask(api, *pair) for pair in pairs}


def _ask(api: httpx.Client, user_id: str, strategy: str) -> dict[str, Any]:
    answer = api.get(f"/v1/learners/{user_id}/recommendations", params={"strategy": strategy})
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    return body


def shown(answer: dict[str, Any]) -> list[tuple[object, ...]]:
    """Return an answered list but for the last digits of its scores: they are kept in 16 bits, or 8."""
    return [(one["course_id"], one["title"], one["reasons"], one["topped_up"]) for one in answer["items"]]


async def test_a_moment_is_kept_in_mind(tools: Tools) -> None:
    """The lists that stand once all is quiet; from here on much changes."""
    await tools.append(*some_events(1, 400))
    common: dict[str, Any] = {"occurred_at": time.time() - 60}
    await send(tools.producer, Viewed(event_id="v", user_id="t1", course_id="c03", **common))
    await send(tools.producer, Clicked(event_id="k", user_id="t2", course_id="c04", **common))
    await send(tools.producer, Searched(event_id="s", user_id="t3", query="python", **common))
    await send(tools.producer, Searched(event_id="s", user_id="only searched", query="sql", **common))
    await tools.append(Feedback(event_id="f", user_id="t4", course_id="c05", value="not_for_me", **common))
    await tools.append(ProfileUpdated(event_id="p", user_id="only profile", interests=("sql",), **common))
    await counted(tools)  # every worker ranks by what it counted last, and is asked to rank all anew by the next line
    epoch = await offer(tools, Course(course_id="c12", title="sql again", language="en"))
    at_ms = await settled(tools, epoch)
    with running_api(tools.system.stack.bootstrap_servers, tools.system.stack.redis_url) as api:
        answers = await ask_all(tools, api)
    assert any(answer["state_version"].count("activity") for answer in answers.values())
    MOMENTS.append(Moment(at_ms, await live_digest(tools.system.connections), answers))


async def test_much_happens_since(tools: Tools) -> None:
    """Events, an erasure, another catalogue and another model, whose worker is killed meanwhile."""
    assert time.time() * 1_000 > MOMENTS[0].at_ms + 1
    manifest = store_bundle(tools.system.bundles, tools.system.folder / "scratch", seed=1)
    await append_control(tools.system.stack.bootstrap_servers, *going_live(manifest))
    await offer(tools, Course(course_id="c01", title="gone", retired=True))
    await offer(tools, Course(course_id="c13", title="sql new", language="en"))
    await tools.append(*some_events(2, 200), Erased(event_id="x", user_id=ERASED_LATER, occurred_at=time.time()))
    await send(tools.producer, Searched(event_id="s2", user_id="t3", query="cooking", occurred_at=time.time()))
    assert (await live_digest(tools.system.connections)).digest != MOMENTS[0].state.digest


async def test_the_digest_of_the_moment_is_that_which_was_taken_then(tools: Tools) -> None:
    moment, live = MOMENTS[0], await live_digest(tools.system.connections)
    assert await digest_as_of(tools.system.connections, moment.at_ms) == moment.state
    then = [entry for entry in LOG if entry.appended_ms <= moment.at_ms]
    assert moment.state.digest == reference.digest(then)
    assert await live_digest(tools.system.connections) == live, "the live state is left alone"
    assert not await keys_of(tools.client, 1)


async def test_a_state_of_the_past_with_who_was_erased_since_is_not_kept(tools: Tools) -> None:
    result = await rebuild(tools.system.connections, until_ms=MOMENTS[0].at_ms)
    assert (result.digest, result.kept) == (MOMENTS[0].state.digest, False)
    assert not await keys_of(tools.client, 1)
    now = await rebuild(tools.system.connections, until_ms=int(time.time() * 1_000))
    assert now.kept and await keys_of(tools.client, 1)


@pytest.mark.parametrize("user", ["t1", "t2", "t3", "t4", "only searched", "only profile", NOBODY])
async def test_lists_of_the_moment_are_what_was_answered_then(tools: Tools, user: str) -> None:
    at_ms, _, answers = MOMENTS[0]
    past = await past_of(tools.system.connections, user, at_ms)
    for strategy in STRATEGIES:
        then, found = answers[user, strategy], await answer_of(past, user, at_ms, Query(10, strategy=strategy))
        assert shown(found) == shown(then)
        for key in ("user_id", "strategy", "model_version", "state_version", "degraded"):
            assert found[key] == then[key]
    assert past.exact == {"model": True, "catalogue": True, "history": True, "activity": True, "popularity": False}


async def test_who_was_erased_since_has_no_past(tools: Tools) -> None:
    at_ms, _, answers = MOMENTS[0]
    found = await recommend_as_of(tools.system.connections, ERASED_LATER, at_ms, Query(10))
    assert found["erased_since"] and not found["exact"]["history"]
    assert shown(found) == shown(answers[NOBODY, "hybrid"]) != shown(answers[ERASED_LATER, "hybrid"])


async def test_before_the_first_model_there_were_no_lists(tools: Tools) -> None:
    with pytest.raises(NotReadyError, match="no model was live"):
        await recommend_as_of(tools.system.connections, "t1", 1_000, Query(10))


def test_the_command_line_looks_back(
    system: System, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It needs neither Redis nor an API."""
    at_ms, state, answers = MOMENTS[0]
    connections = system.connections
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", connections.kafka_bootstrap_servers)
    monkeypatch.setenv("BUNDLE_URL", connections.bundle_url)
    monkeypatch.setenv("COURSESTREAM_STATE_DIR", str(system.folder))
    moment = f"{at_ms / 1_000:.3f}"
    assert run(["recommend", "t1", "--as-of", moment, "--limit", "5", "--json", "-"]) == 0
    assert shown(json.loads(capsys.readouterr().out)) == shown(answers["t1", "hybrid"])[:5]
    assert run(["recommend", "t1", "--as-of", moment, "--reasons"]) == 0
    assert "as it was then: model, catalogue, history, activity" in capsys.readouterr().out
    assert run(["state", "digest", "--as-of", moment, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["digest"] == state.digest
    assert run(["recommend", "t1", "--as-of", moment, "--strategy", "nonsense"]) == 2


async def test_a_shuffled_log_with_a_worker_killed_on_the_way(tools: Tools) -> None:
    """What the agents and fillers of two workers merge is what a replay merges, and what the reference says."""
    dice = random.Random(7)
    events = [some_event(dice, USERS) for _ in range(400)]
    everything = [*events, *dice.sample(events, 100)]
    dice.shuffle(everything)
    tools.system.start("w2")

    async def is_ready() -> bool:
        return tools.system.is_ready("w2")

    await until(is_ready, "the second worker in its group")
    for place in range(0, len(everything), 50):
        LOG.extend(await publish(tools.producer, everything[place : place + 50]))
        for value in NO_EVENTS[:-1]:  # the last is none in 1970 alone
            await tools.producer.send(LEARNER_EVENTS, value, key=dice.choice(USERS).encode())
        if place == 200:
            tools.system.kill("w1")
            await tools.client.delete(ShardKeys(1, 0).meta)
            tools.system.start("w1")
    await tools.caught_up()
    live, replayed = await live_digest(tools.system.connections), await rebuild(tools.system.connections)
    assert live.digest == replayed.digest == reference.digest(LOG)
    await tools.expect_whole()
