"""The refresh on a real server with a real model: who is refreshed when, what is published, and what is refused."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.redis import Client
from schemas.candidates import Version
from schemas.embedding import unpack_embedding
from schemas.events import Erased, Feedback
from stream import lists
from stream.activity import ActivityUpdate, merge_activity
from stream.arms import Split
from stream.lists import Marked, learner_from
from stream.marks import BEHIND_MS
from stream.refresh import SHARE, Refresher, read
from stream.serving import Serving
from stream.view import ShardView
from tests.served import CATALOGUE, KEYS, Log, enrolled, listed, marks, serving, watched
from tests.shard_state import read_scores
from tests.unit.stream.test_arms_sweep import split_between


async def test_the_newest_marks_go_first_and_a_share_of_the_oldest(client: Client, view: ShardView, log: Log) -> None:
    users = [f"u{i:02d}" for i in range(60)]
    await log.append(*(enrolled(user, "c00") for user in users))
    await client.zadd(KEYS.dirty, {user: place for place, user in enumerate(users)})
    await Refresher(client, 5, 20).refresh_marked({view: 20}, serving())
    oldest, newest = users[: int(20 * SHARE)], users[60 - 20 + 2 * int(20 * SHARE) :]
    assert (len(oldest), len(newest)) == (2, 16)
    found = {user for user in users if await listed(client, user)}
    assert {*oldest, *newest} <= found
    assert len(found) <= 20
    assert await marks(client) == set(users) - found


async def test_every_mark_of_a_backlog_goes_though_more_come_than_can_be_done(
    client: Client, view: ShardView, log: Log
) -> None:
    refresher, now, old = Refresher(client, 5, 10), serving(), [f"old{i}" for i in range(12)]
    await log.append(*(enrolled(user, "c00") for user in [*old, *(f"new{i}" for i in range(30))]))
    await client.zadd(KEYS.dirty, {user: place for place, user in enumerate(old)})
    for rounds in range(len(old)):  # at least the oldest goes each time
        await client.zadd(KEYS.dirty, {f"new{i}": 1_000 + 30 * rounds + i for i in range(30)})
        await refresher.refresh_marked({view: 10}, now)
    assert not await marks(client) & set(old)
    assert len(await marks(client)) >= 20


async def test_a_mark_that_is_renewed_again_and_again_has_its_turn(client: Client, view: ShardView, log: Log) -> None:
    """Never among the newest and never the oldest: no order of the marks would bring it up."""
    refresher, now = Refresher(client, 5, 10), serving()
    newer, older = [f"newer{i}" for i in range(8)], [f"older{i}" for i in range(3)]
    await log.append(*(enrolled(user, "c00") for user in [*newer, "between", *older]))
    for rounds in range(300):
        scores = {**dict.fromkeys(newer, 9), "between": 5, **dict.fromkeys(older, 1)}
        await client.zadd(KEYS.dirty, {user: score + 10 * rounds for user, score in scores.items()})
        await refresher.refresh_marked({view: 10}, now)
        if "between" not in await marks(client):
            return
    raise AssertionError("one of twelve is drawn each round")


async def test_what_a_weak_signal_marked_waits_behind_hard_events(client: Client, view: ShardView, log: Log) -> None:
    viewers = [f"v{i}" for i in range(40)]
    await log.append(*(enrolled(user, "c00") for user in viewers))
    await client.delete(KEYS.dirty)
    await log.enrol("student", "c00")
    views = {user: ActivityUpdate({"v:c01": 7}, offset=place, marks=True) for place, user in enumerate(viewers)}
    await merge_activity(client, view, views)
    scores = await read_scores(client, KEYS.dirty)
    assert max(scores, key=scores.__getitem__) == "student"
    await merge_activity(client, view, {"student": ActivityUpdate({"v:c01": 7}, offset=99, marks=True)})
    assert (await read_scores(client, KEYS.dirty))["student"] == scores["student"], "a view puts no enrolment back"
    seen: list[float] = []
    refresher = Refresher(client, 5, 10)
    refresher.observe_freshness = seen.append
    await refresher.refresh_marked({view: 10}, serving())
    assert await listed(client, "student") is not None
    assert len(seen) > 1
    assert max(seen) < BEHIND_MS / 1_000, "how long a view waited is measured from when it was set"


async def test_whoever_is_let_be_takes_nobody_s_turn(client: Client, view: ShardView, log: Log) -> None:
    """Those of an arm whose model is not loaded have the newest marks and the oldest ones."""
    split = split_between(7)
    names = [f"n{i}" for i in range(400)]
    waiting = [name for name in names if split.model_of(name)][:100]
    others = [name for name in names if not split.model_of(name)][:100]
    await log.append(*(enrolled(user, "c00") for user in [*waiting, *others]))
    await client.zadd(KEYS.dirty, {user: 2e12 + i for i, user in enumerate(waiting[:60])})
    await client.zadd(KEYS.dirty, {user: 1e12 + i for i, user in enumerate(others)})
    await client.zadd(KEYS.dirty, {user: 1e11 + i for i, user in enumerate(waiting[60:])})
    refresher, seen = Refresher(client, 5, 20), list[float]()
    refresher.observe_freshness = seen.append
    for _ in range(8):  # five rounds, but for those drawn twice
        await refresher.refresh_marked({view: 20}, Serving(watched(), 8, 3, Split(split.experiment)))
    assert await marks(client) == set(waiting)
    await client.delete(KEYS.dirty)
    await client.zadd(KEYS.dirty, dict.fromkeys(others[:5], 2e12))
    assert not (await refresher.refresh_marked({view: 20}, serving(model_epoch=4))).published
    assert len(seen) == len(others), "only of lists that were published"


async def test_who_was_put_aside_once_leaves_the_newest_their_share(client: Client, view: ShardView, log: Log) -> None:
    users = [f"u{i:02d}" for i in range(60)]
    await log.append(*(enrolled(user, "c00") for user in users))
    refresher = Refresher(client, 5, 20)
    for gone in range(20):
        refresher._aside._until[KEYS.prefix, f"gone{gone}"] = 0.0
    await client.zadd(KEYS.dirty, {user: place for place, user in enumerate(users)})
    await refresher.refresh_marked({view: 20}, serving())
    assert not {*users[:2], *users[-16:]} & await marks(client)
    assert refresher._aside.number(view) == 0


async def test_a_list_of_an_older_state_is_made_anew(client: Client, view: ShardView, log: Log) -> None:
    """A batch left over has read a learner; meanwhile there is nothing left to list, so list and mark go."""
    refresher = Refresher(client, 5, 8)
    await log.append(Feedback(event_id="f1", user_id="u", course_id="c02", occurred_at=6, value="useful"))
    left_over = lists.compute(serving(), [Marked(view, "u")], await read(client, [Marked(view, "u")]), 5)
    await refresher.drain(view, serving())
    await log.append(Feedback(event_id="f2", user_id="u", course_id="c02", occurred_at=7, value="none"))
    await refresher.drain(view, serving())
    assert await listed(client, "u") is None and await marks(client) == set()
    await refresher._publish(view, left_over.made[0][1], serving())
    await refresher.drain(view, serving())
    assert await listed(client, "u") is None and await marks(client) == set()


async def test_a_list_holds_nothing_that_was_taken_and_names_what_caused_it(
    client: Client, view: ShardView, log: Log
) -> None:
    await log.enrol("u", "c01", "c05", "c09")
    refused = Feedback(event_id="f", user_id="u", course_id="c02", occurred_at=6, value="not_for_me")
    await log.append(refused)
    await Refresher(client, 100, 8).drain(view, serving())
    found = await listed(client, "u")
    assert found is not None and found.version == Version(5, 3, 3, -1)
    courses = [candidate.course_id for candidate in found.candidates]
    assert set(courses) == set(CATALOGUE) - {"c01", "c05", "c09", "c02"} and len(courses) == 8
    scores = [candidate.score for candidate in found.candidates]
    assert scores == sorted(scores, reverse=True) and len(set(scores)) > 1
    assert found.causes and set(found.causes) <= {"c01", "c05", "c09"}
    assert abs(found.generated_us / 1e6 - time.time()) < 60
    vector: Any = await client.get(KEYS.embedding("u"))
    assert unpack_embedding(vector).model_epoch == 5 and any(unpack_embedding(vector).vector)
    assert await marks(client) == set()


async def test_many_events_of_a_learner_cost_one_refresh(client: Client, view: ShardView, log: Log) -> None:
    recommender = watched()
    for course in ("c00", "c01", "c02", "c03"):
        await log.enrol("u", course)
    await Refresher(client, 5, 8).drain(view, serving(recommender=recommender))
    assert recommender.learners == 1


async def test_who_has_nothing_gets_no_list_and_loses_the_mark(client: Client, view: ShardView, log: Log) -> None:
    await log.append(Feedback(event_id="f", user_id="none", course_id="c02", occurred_at=6, value="none"))
    await client.zadd(KEYS.dirty, {"never seen": 1})
    recommender = watched()
    await Refresher(client, 5, 8).refresh_marked({view: 8}, serving(recommender=recommender))
    assert recommender.learners == 0
    assert await marks(client) == set()
    for user in ("none", "never seen"):
        assert await listed(client, user) is None


async def test_a_list_goes_once_nothing_of_the_learner_is_left(client: Client, view: ShardView, log: Log) -> None:
    refresher = Refresher(client, 5, 8)
    useful = Feedback(event_id="f1", user_id="u", course_id="c02", occurred_at=6, value="useful")
    await log.append(useful)
    await refresher.drain(view, serving())
    assert await listed(client, "u") is not None
    await log.append(Feedback(event_id="f2", user_id="u", course_id="c02", occurred_at=7, value="none"))
    await refresher.drain(view, serving())
    assert not await client.exists(KEYS.candidates("u"), KEYS.embedding("u"))
    assert await marks(client) == set()


@contextlib.asynccontextmanager
async def during(refresher: Refresher, view: ShardView, users: list[str]) -> AsyncIterator[None]:
    """Do what stands inside while the lists of these learners, loaded already, are being computed."""
    recommender = watched()
    recommender.go.clear()
    task = asyncio.create_task(
        refresher.refresh([Marked(view, user) for user in users], serving(recommender=recommender))
    )
    assert await asyncio.to_thread(recommender.started.wait, 20)
    yield
    recommender.go.set()
    await task


async def test_who_is_erased_meanwhile_gets_nothing_back(client: Client, view: ShardView, log: Log) -> None:
    await log.enrol("u", "c00")
    await log.enrol("other", "c00")
    refresher = Refresher(client, 5, 8)
    async with during(refresher, view, ["u", "other"]):
        await log.append(Erased(event_id="x", user_id="u", occurred_at=9))
    assert not await client.exists(KEYS.candidates("u"), KEYS.embedding("u"))
    assert await listed(client, "other") is not None
    assert await marks(client) == set()


async def test_who_enrols_meanwhile_is_published_and_stays_marked(client: Client, view: ShardView, log: Log) -> None:
    await log.enrol("u", "c00")
    refresher = Refresher(client, 100, 8)
    async with during(refresher, view, ["u"]):
        await log.enrol("u", "c07")
    before = await listed(client, "u")
    assert before is not None and before.version.learner_offset == 0  # a busy learner is never starved
    assert await marks(client) == {"u"}
    await refresher.drain(view, serving())
    after = await listed(client, "u")
    assert after is not None and after.version.learner_offset == 1
    assert "c07" not in [candidate.course_id for candidate in after.candidates]
    assert await marks(client) == set()


async def test_an_older_model_replaces_nothing_and_leaves_the_mark(client: Client, view: ShardView, log: Log) -> None:
    refresher = Refresher(client, 5, 8)
    await log.enrol("u", "c00")
    await refresher.drain(view, serving(model_epoch=6))
    stood = await client.get(KEYS.candidates("u"))
    await client.zadd(KEYS.dirty, {"u": 1})
    for older in (serving(model_epoch=5), serving(model_epoch=6, catalogue_epoch=2)):
        assert (await refresher.refresh_marked({view: 8}, older)).published == 0
        assert await client.get(KEYS.candidates("u")) == stood
        assert await marks(client) == {"u"}
    await log.enrol("u", "c01")
    assert (await refresher.refresh_marked({view: 8}, serving(model_epoch=5))).published == 0
    assert await marks(client) == {"u"}
    await refresher.drain(view, serving(model_epoch=6))
    found = await listed(client, "u")
    assert found is not None and found.version == Version(6, 3, 1, -1) and await marks(client) == set()


async def test_a_mark_on_a_current_list_is_cleared(client: Client, view: ShardView, log: Log) -> None:
    refresher = Refresher(client, 5, 8)
    await log.enrol("u", "c00")
    await refresher.drain(view, serving())
    await client.zadd(KEYS.dirty, {"u": 1})
    await refresher.refresh_marked({view: 8}, serving())
    assert await marks(client) == set()


async def test_a_worker_that_lost_the_shard_publishes_nothing(client: Client, view: ShardView, log: Log) -> None:
    await log.enrol("u", "c00")
    assert (await Refresher(client, 5, 8).refresh_marked({ShardView(KEYS, "0" * 32): 8}, serving())).published == 0
    assert await listed(client, "u") is None and await marks(client) == {"u"}


async def test_histories_are_unpacked_beside_the_event_loop(
    client: Client, view: ShardView, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of 10,000 courses takes long: meanwhile the agents go on."""
    threads: set[str] = set()

    def unpack(answers: Any) -> Any:
        threads.add(threading.current_thread().name)
        return learner_from(answers)

    monkeypatch.setattr(lists, "learner_from", unpack)
    await log.enrol("u", "c00")
    await Refresher(client, 5, 8).drain(view, serving())
    assert threads == {"refresh_0"}
