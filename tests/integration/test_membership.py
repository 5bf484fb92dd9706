"""Who leaves the workers' group: a worker that is told to stop does, at once; one that crashed keeps its place."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.group import members, shards_of
from tests.integration.workers import PARTITIONS, System, running_system
from tests.waiting import until

PATIENCE_S = 90


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    """Two workers, `a` and `b`."""
    with running_system(tmp_path, ["a", "b"]) as running:
        yield running


async def _owned(system: System) -> dict[str, list[int]]:
    """Return the shards of each worker, by the broker's word."""
    found = await members(system.stack.bootstrap_servers)
    return {worker: shards_of(worker, found) for worker in ("a", "b")}


async def _both_own(system: System) -> bool:
    system.expect_alive()
    owned = await _owned(system)
    return bool(owned["a"] and owned["b"]) and sorted(owned["a"] + owned["b"]) == list(range(PARTITIONS))


async def _a_owns_all(system: System) -> bool:
    return (await _owned(system))["a"] == list(range(PARTITIONS))


async def _is_back(system: System) -> bool:
    return system.is_ready("b") and await _both_own(system)


async def test_a_stopped_worker_leaves_its_shards_at_once_and_a_crashed_one_keeps_them(system: System) -> None:
    await until(lambda: _both_own(system), "both workers own shards", PATIENCE_S)
    before = await _owned(system)
    system.kill("b")
    assert (await _owned(system))["b"] == before["b"]
    system.start("b")
    await until(lambda: _is_back(system), "the crashed worker is back", PATIENCE_S)
    status, _ = system.stop("b")
    assert status == 0
    assert (await _owned(system))["b"] == []  # long before its session would end
    await until(lambda: _a_owns_all(system), "the other worker owns all shards", PATIENCE_S)
