"""Bisection, what is taken for poison, and when it is the code that is broken: on a real server."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import DataError, RedisError

from adapters.redis import Client, Script
from stream.halves import FREE, BrokenCodeError, Odds, PoisonError, breaking, by_halves, each_by_halves, of_the_call


def _halves(part: range) -> list[range]:
    middle = len(part) // 2
    return [part[:middle], part[middle:]] if middle else []


@given(poisonous=st.sets(st.integers(0, 99)), size=st.integers(0, 100))
async def test_exactly_what_breaks_is_found_and_all_else_is_done_in_order(poisonous: set[int], size: int) -> None:
    done, found = list[int](), list[int]()

    async def work(part: range) -> None:
        with breaking():
            for number in part:
                assert number not in poisonous
        done.extend(part)

    async def alone(part: range, error: PoisonError) -> None:
        found.extend(part)

    await by_halves(range(size), _halves, work, alone)
    assert found == [number for number in range(size) if number in poisonous]
    assert done == [number for number in range(size) if number not in poisonous]


async def test_what_breaks_only_once_is_no_poison() -> None:
    tries = 0

    async def work(_: range) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise PoisonError

    async def alone(*_: Any) -> None:
        raise AssertionError

    await by_halves(range(1), _halves, work, alone)
    assert tries == 2


async def test_another_error_is_no_matter_of_halves() -> None:
    async def work(_: range) -> None:
        raise ConnectionError

    async def alone(*_: Any) -> None:
        raise AssertionError

    with pytest.raises(ConnectionError):
        await by_halves(range(2), _halves, work, alone)


@given(st.lists(st.integers(0, 3), max_size=40).filter(bool))
def test_each_item_is_worked_on_or_found(items: list[int]) -> None:
    made, broken = each_by_halves(items, lambda part: [6 // item for item in part])
    assert made == [(item, 6 // item) for item in items if item]
    assert [item for item, _ in broken] == [item for item in items if not item]


def test_memory_that_is_full_is_no_poison() -> None:
    with pytest.raises(MemoryError), breaking():
        raise MemoryError


def test_odds_allow_as_many_to_break_as_work() -> None:
    odds = Odds()
    odds.worked(2)
    for _ in range(FREE + 2):
        odds.broke(PoisonError("planted"))
    with pytest.raises(BrokenCodeError, match="it is the code"):
        odds.broke(PoisonError("planted"))


async def error_of(client: Client, tmp_path: Path, source: str, *args: Any) -> RedisError:
    """Return the error a script answers with."""
    path = tmp_path / "script.lua"
    path.write_text(source)
    with pytest.raises(RedisError) as caught:
        await Script(path).run(client, ["k"], args)
    return caught.value


SET = "redis.call('SET', KEYS[1], 'v')"


@pytest.mark.parametrize(
    "source",
    ["error('planted')", "return nil_value()", "return string.rep('x', 2) .. nil", "return unpack({}, 1, 1e8)"],
)
async def test_what_breaks_inside_a_script_comes_of_the_call(client: Client, tmp_path: Path, source: str) -> None:
    assert of_the_call(await error_of(client, tmp_path, source))


async def test_an_argument_that_cannot_be_sent_comes_of_the_call(client: Client, tmp_path: Path) -> None:
    error = await error_of(client, tmp_path, SET, object())
    assert isinstance(error, DataError) and of_the_call(error)


@pytest.mark.parametrize(
    ("prepare", "restore"),
    [
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
        (("ACL", "SETUSER", "default", "-set"), ("ACL", "SETUSER", "default", "+@all")),
        (("ACL", "SETUSER", "default", "-eval", "-evalsha"), ("ACL", "SETUSER", "default", "+@all")),
        (("CONFIG", "SET", "min-replicas-to-write", "1"), ("CONFIG", "SET", "min-replicas-to-write", "0")),
        (("HSET", "k", "a", "b"), ("DEL", "k")),
    ],
)
async def test_what_may_have_other_causes_never_does(
    client: Client, tmp_path: Path, prepare: tuple[str, ...], restore: tuple[str, ...]
) -> None:
    """Full, read-only, forbidden (the command, the script), without replicas, with a damaged state."""
    await client.execute_command(*prepare)
    try:
        error = await error_of(client, tmp_path, f"redis.call('INCR', KEYS[1]) {SET}")
    finally:
        await client.execute_command(*restore)
        await client.flushall()
    assert not of_the_call(error), error
