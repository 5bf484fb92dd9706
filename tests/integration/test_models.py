"""Models on running workers: what is wrong is refused while the old one serves on; bundles come from anywhere."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from adapters.follow import append_control
from deploy.ports import free_port
from schemas.candidates import unpack_candidates
from schemas.control import ModelRolledBack
from tests.integration.campus import Tools, enrolled, listed
from tests.integration.workers import System, connected, running_system, send, shard_of_user
from tests.models import going_live, small_model, store_bundle
from tests.object_store import running_bucket
from tests.refused import REFUSED, store_refused
from tests.unit.trainer.campus import checkerboard, courses, log_of
from tests.waiting import until
from trainer.publish import Made, publish
from trainer.settings import TrainerSettings
from trainer.verdict import Verdict

LEARNER = "ann"


async def list_epoch(tools: Tools) -> int:
    """Return the epoch of the model that the learner's list was made with."""
    return (await listed(tools.client, LEARNER)).version.model_epoch


async def takes(tools: Tools, epoch: int) -> None:
    """Wait until the learner's list is made with this model."""

    async def holds() -> bool:
        return await list_epoch(tools) == epoch

    await until(holds, f"lists of epoch {epoch}")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Run a worker over a folder of bundles, with metrics."""
    settings = {"METRICS_PORT": str(free_port())}
    with running_system(tmp_path_factory.mktemp("models"), ["w1"], **settings) as running:
        yield running


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Run two workers over bundles in an object store."""
    folder = tmp_path_factory.mktemp("away")
    with running_bucket() as bucket, pytest.MonkeyPatch.context() as patch:
        for variable, value in bucket.environment.items():
            patch.setenv(variable, value)
        with running_system(folder, ["w1", "w2"], bucket.url) as running:
            yield running


def failures(metrics: str) -> float:
    """Return how often the worker could not take a bundle."""
    found = re.search(r"^coursestream_model_load_failures (\S+)$", httpx.get(metrics).text, re.MULTILINE)
    assert found
    return float(found[1])


async def test_what_is_wrong_is_refused_and_the_old_model_serves_on(system: System) -> None:
    async with connected(system) as (client, producer):
        await _refuse_all(Tools(system, client, producer))


async def _refuse_all(tools: Tools) -> None:
    system, servers = tools.system, tools.system.stack.bootstrap_servers
    metrics = f"http://127.0.0.1:{system.settings['METRICS_PORT']}/metrics"
    await send(tools.producer, enrolled(LEARNER, 1))
    await system.caught_up(tools.client)
    epoch = await list_epoch(tools)
    for seed, (how, reason) in enumerate(REFUSED.items(), start=10):
        before = failures(metrics)
        manifest = store_refused(system.bundles, system.folder, how, seed)
        await append_control(servers, *going_live(manifest))

        async def rose(before: float = before) -> bool:
            return failures(metrics) > before

        await until(rose, f"the alarm about a bundle that is {how}")
        assert re.search(rf"ALARM: model {manifest.version} is not taken: .*{reason}", system.log())
        await send(tools.producer, enrolled(LEARNER, seed, f"c{seed % 4:02d}"))
        await system.caught_up(tools.client)
        assert await list_epoch(tools) == epoch, how
    good = store_bundle(system.bundles, system.folder, 1)
    epoch = await append_control(servers, *going_live(good))
    await takes(tools, epoch)
    epoch = await append_control(servers, ModelRolledBack(version="m-0"))
    await takes(tools, epoch)
    system.expect_alive()


async def test_after_a_restart_without_the_live_bundle_the_model_before_it_serves(system: System) -> None:
    async with connected(system) as (client, producer):
        await _lose_the_bundle(Tools(system, client, producer))


async def _lose_the_bundle(tools: Tools) -> None:
    system, servers = tools.system, tools.system.stack.bootstrap_servers
    await send(tools.producer, enrolled(LEARNER, 100))
    await system.caught_up(tools.client)
    epochs = []
    for seed in (31, 32):
        manifest = store_bundle(system.bundles, system.folder, seed)
        epochs.append(await append_control(servers, *going_live(manifest)))
        await takes(tools, epochs[-1])
    system.stop("w1")
    hidden = (system.bundles / "m-32").rename(system.folder / "hidden")
    system.start("w1")
    sent = await send(tools.producer, enrolled("newcomer", 1))

    async def is_listed(epoch: int) -> bool:
        packed: Any = await tools.client.get(shard_of_user("newcomer").candidates("newcomer"))
        version = unpack_candidates(packed).version if packed else None
        return version is not None and (version.model_epoch, version.learner_offset) == (epoch, sent.offset)

    await until(lambda: is_listed(epochs[0]), "a newcomer's list, made with the model before")
    assert "ALARM: lists are made with m-31 until m-32 can be loaded" in system.log()
    assert await list_epoch(tools) == epochs[1], "what the live model made stands"
    hidden.rename(system.bundles / "m-32")
    await until(lambda: is_listed(epochs[1]), "the live model, as soon as it is there again")
    await system.caught_up(tools.client)


async def test_bundles_in_an_object_store_go_from_the_trainer_to_the_workers(away: System) -> None:
    async with connected(away) as (client, producer):
        await _publish_and_roll_back(Tools(away, client, producer))
    assert not away.bundles.exists()


async def _publish_and_roll_back(tools: Tools) -> None:
    system = tools.system
    settings = TrainerSettings(**{**system.connections.model_dump(), "bundle_cache": system.folder / "trainer-cache"})
    await send(tools.producer, enrolled(LEARNER, 1))
    await system.caught_up(tools.client)
    first = await list_epoch(tools)
    made = Made(small_model(7), log_of(checkerboard(learners=2), courses()), 7, Verdict(True, "better"))
    epoch = await _epoch_of(tools, (await publish(made, settings)).version, first)
    rolled_back = await append_control(settings.kafka_bootstrap_servers, ModelRolledBack(version="m-0"))
    await takes(tools, rolled_back)
    assert first < epoch < rolled_back


async def _epoch_of(tools: Tools, version: str, before: int) -> int:
    async def holds() -> bool:
        return await list_epoch(tools) > before

    await until(holds, f"lists of {version}")
    assert f"model {version} is loaded" in tools.system.log()
    return await list_epoch(tools)
