"""Waiting for places: what is seen, what is waited for, what stays open."""

import asyncio
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from cli.erasing import Seen, wait_for
from cli.erasing_models import ModelErasure, Refits
from cli.system import System
from schemas.control import ControlState, ModelPromoted, ModelPublished, encode_control
from stream.erasure import Erasure, LearnerLog

DONE = Seen("done", "seen")
WAIT = Seen("open", "not yet")
ERASURE = Erasure("u", 0, 10, 500)


async def _seen(*answers: Seen | Exception, wait_s: float = 60.0) -> Seen:
    """Wait for a place that answers like this, one look after the other, and always as the last time."""
    looks = 0

    async def look() -> Seen:
        nonlocal looks
        looks += 1
        answer = answers[min(looks, len(answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return await wait_for(look, asyncio.get_running_loop().time() + wait_s)


async def test_it_waits_until_a_place_is_done_through_a_redis_that_is_away() -> None:
    assert await _seen(WAIT, RedisConnectionError("no route"), WAIT, DONE) == DONE


async def test_what_will_not_change_is_not_waited_for() -> None:
    assert await _seen(WAIT, Seen("pending", "chosen")) == Seen("pending", "chosen")
    assert await _seen(Seen("open", "refused", settled=True)) == Seen("open", "refused", settled=True)


async def test_at_the_deadline_the_last_look_says_what_is_missing() -> None:
    assert await _seen(WAIT, wait_s=0.3) == WAIT
    away = await _seen(RedisConnectionError("no route"), wait_s=0.3)
    assert away.state == "open" and "Redis does not answer (no route)" in away.proof


async def test_an_error_that_repeating_cannot_mend_is_raised() -> None:
    with pytest.raises(ResponseError):
        await _seen(ResponseError("WRONGTYPE"))


def _models(tmp_path: Path, *ends: int, wait_model: bool = False) -> ModelErasure:
    """Return a look at models that were made up to these ends, the last of them live, of a learner known since 4."""
    control, state = Refits("unused:1"), ControlState(partitions=1)
    for place, end in enumerate(ends):
        made = ModelPublished(version=f"m-{place}", digest="d", offsets={"learner-events": [end]})
        for record in (made, ModelPromoted(version=made.version)):
            state = state.apply(encode_control(record), state.offset + 1, 1_000)
    control.state = state
    log = LearnerLog(events=[(4, 100), (7, 200)], erasures=[(10, 500)])
    return ModelErasure(System(tmp_path, {}), control, ERASURE, log, wait_model)


@pytest.mark.parametrize(
    ("ends", "state"), [((), "done"), ((4,), "done"), ((5,), "pending"), ((10,), "pending"), ((10, 11), "done")]
)
async def test_only_a_live_model_that_was_made_with_the_learner_is_to_be_replaced(
    tmp_path: Path, ends: tuple[int, ...], state: str
) -> None:
    assert (await _models(tmp_path, *ends).in_model()).state == state


def test_bundles_that_were_made_with_the_learner_are_named(tmp_path: Path) -> None:
    assert _models(tmp_path, 4, 11).in_bundles() == "none was made with the learner"
    assert "2 were made with the learner" in (said := _models(tmp_path, 4, 5, 10, 11).in_bundles())
    assert said.endswith("m-1, m-2")


async def test_a_snapshot_elsewhere_is_done_once_a_training_has_read_the_erasure(tmp_path: Path) -> None:
    assert (await _models(tmp_path, 10).in_snapshot()).state == "pending"
    assert (await _models(tmp_path, 10, 11).in_snapshot()).state == "done"
