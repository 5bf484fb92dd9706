"""The lease on replaying: one holder at a time, told from a dead one by being renewed."""

import asyncio

import pytest

import stream.lease as lease
from adapters.redis import Client
from schemas.errors import NotReadyError
from schemas.keys import REPLAY
from stream.lease import holder, replaying


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a lease last two seconds, not fifteen."""
    for name, seconds in {"LEASE_S": 2.0, "_RENEW_S": 0.2, "_RETRY_S": 0.05}.items():
        monkeypatch.setattr(lease, name, seconds)


async def test_it_is_held_as_long_as_the_replay_lasts(client: Client) -> None:
    assert await holder(client) == ""
    async with replaying(client) as replay:
        assert await holder(client) == replay != ""
    assert await client.exists(REPLAY) == 0


@pytest.mark.usefixtures("_quick")
async def test_a_second_replay_is_refused_while_the_first_is_at_work(client: Client) -> None:
    async with replaying(client) as first:
        with pytest.raises(NotReadyError, match="another replay is at work"):
            async with replaying(client):
                pass
        assert await holder(client) == first


@pytest.mark.usefixtures("_quick")
async def test_a_replay_that_was_killed_is_followed_by_the_next(client: Client) -> None:
    await client.set(REPLAY, "dead", px=300)
    async with replaying(client) as replay:
        assert await holder(client) == replay != "dead"


@pytest.mark.usefixtures("_quick")
async def test_a_lease_that_became_anothers_is_left_alone(client: Client) -> None:
    async with replaying(client):
        await client.set(REPLAY, "another", px=60_000)
        await asyncio.sleep(0.5)  # two renewals
    assert await holder(client) == "another"
    left_ms: int = await client.pttl(REPLAY)
    assert left_ms > 50_000


async def test_a_replay_that_fails_gives_it_up(client: Client) -> None:
    with pytest.raises(ZeroDivisionError):
        async with replaying(client):
            raise ZeroDivisionError
    assert await holder(client) == ""
