"""A learner whose list breaks the code, among others: on a real server with a real model."""

from collections.abc import Sequence
from typing import Any

import pytest

import stream.aside
from adapters.redis import Client
from recommender.history import Learner
from recommender.listing import Ranked
from recommender.recommend import Recommender
from stream.halves import FREE, BrokenCodeError
from stream.refresh import Refresher
from stream.view import ShardView
from tests.served import Log, enrolled, listed, marks, serving

COURSE = "c09"
"""Who took it breaks the planted code."""


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plant a bug in the ranking."""
    rank = Recommender.rank

    def breaking(self: Recommender, learners: Sequence[Learner], *limits: Any) -> list[Ranked]:
        if any(COURSE in learner.taken for learner in learners):
            raise ZeroDivisionError("planted")
        return rank(self, learners, *limits)

    monkeypatch.setattr(Recommender, "rank", breaking)


@pytest.mark.usefixtures("planted")
async def test_only_their_own_lists_stand_still(
    client: Client, view: ShardView, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = [f"good{i}" for i in range(20)], ["bad0", "bad1"]
    await log.append(*(enrolled(user, "c00") for user in good), *(enrolled(user, COURSE) for user in bad))
    refresher = Refresher(client, 5, 8)
    await refresher.drain(view, serving())
    assert [bool(await listed(client, user)) for user in good] == [True] * len(good)
    assert [await listed(client, user) for user in bad] == [None, None]
    assert await marks(client) == set(bad), "their marks tell that they are behind"
    assert caplog.text.count("ALARM: the list of a learner") == 2
    assert (await refresher.refresh_marked({view: 8}, serving())).published == 0, "nothing is computed meanwhile"
    await log.append(enrolled("good0", "c01"))
    assert (await refresher.refresh_marked({view: 8}, serving())).published == 1, "who is put aside takes nobody's turn"


@pytest.mark.usefixtures("planted")
async def test_a_sweep_that_comes_to_one_leaves_a_mark(client: Client, view: ShardView, log: Log) -> None:
    await log.append(enrolled("good", "c00"), enrolled("bad", COURSE))
    await client.delete(view.keys.dirty)
    await Refresher(client, 5, 8).sweep(view, serving(6, 3), "", 8)
    assert await listed(client, "good") and await marks(client) == {"bad"}


async def test_who_was_put_aside_is_tried_again_and_an_alarm_if_it_breaks_anew(
    client: Client, view: ShardView, log: Log, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stream.aside, "ASIDE_S", 0.0)
    refresher = Refresher(client, 5, 8)
    await log.append(enrolled("bad", COURSE))
    for number in (1, 2):
        with monkeypatch.context() as bug:
            bug.setattr(Recommender, "rank", lambda *_: 1 / 0)
            for _ in range(2):
                assert (await refresher.refresh_marked({view: 8}, serving())).published == 0
        assert caplog.text.count("ALARM: the list of a learner") == number, "once each time"
        assert (await refresher.refresh_marked({view: 8}, serving())).published == 1
        assert await listed(client, "bad") and not await marks(client)
        await log.append(enrolled("bad", f"c0{number}"))


@pytest.mark.usefixtures("planted")
async def test_a_model_that_breaks_on_everybody_is_no_matter_of_learners(
    client: Client, view: ShardView, log: Log
) -> None:
    await log.append(*(enrolled(f"bad{i}", COURSE) for i in range(FREE + 1)))
    with pytest.raises(BrokenCodeError):
        await Refresher(client, 5, 64).drain(view, serving())
