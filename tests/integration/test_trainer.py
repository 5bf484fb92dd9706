"""The trainer on a real Kafka: what it reads, what it publishes, what it announces; and the process itself."""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import trainer.make
from adapters.bundles import BundleStore
from adapters.follow import ControlLog, append_control
from adapters.kafka import open_producer, shard_of
from deploy.embedded import EmbeddedStack, embedded
from recommender.bundle import load_model, verify
from schemas.control import ControlState, RecordQuarantined, RefitRequested
from schemas.courses import Course, encode_course
from schemas.errors import BundleError
from schemas.events import Erased, LearnerEvent, encode_event
from schemas.topics import COURSES, LEARNER_EVENTS
from tests.unit.trainer import test_poison as poison
from tests.unit.trainer.campus import START_S, checkerboard, courses, enrolled, log_of
from trainer.log import Log, holds_erased, read_log
from trainer.make import ATTEMPTS, make_model
from trainer.pipeline import Trained, train_model
from trainer.result import TrainResult, no_progress
from trainer.settings import TrainerSettings
from trainer.train import TrainingError, bootstrap_once, train_once

PARTITIONS = 4


def _settings(stack: EmbeddedStack, store: Path) -> TrainerSettings:
    return TrainerSettings(
        kafka_bootstrap_servers=stack.bootstrap_servers,
        bundle_url=str(store),
        snapshot_dir=store.parent / "snapshots",
        train_dimensions=8,
        train_epochs=4,
        min_enrolments=400,
        calm_seconds=1,
    )


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[TrainerSettings]:
    """Run a stack of our own, since a training reads the whole log."""
    with embedded(tmp_path / "state", partitions=PARTITIONS) as running:
        yield _settings(running, tmp_path / "bundles")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainerSettings]:
    """Run one stack for the tests that only read the log, whatever else is in it."""
    folder = tmp_path_factory.mktemp("log")
    with embedded(folder, partitions=PARTITIONS) as running:
        yield _settings(running, folder / "bundles")


async def publish(settings: TrainerSettings, events: Sequence[LearnerEvent], catalogue: Sequence[Course] = ()) -> None:
    """Append courses and events as the API does: keyed by learner, in his shard."""
    async with open_producer(settings.kafka_bootstrap_servers) as producer:
        for course in catalogue:
            await producer.send(COURSES, encode_course(course), key=course.course_id.encode(), partition=0)
        for event in events:
            await producer.send(
                LEARNER_EVENTS,
                encode_event(event),
                key=event.user_id.encode(),
                partition=shard_of(event.user_id, PARTITIONS),
            )
        await producer.flush()


async def decided(settings: TrainerSettings) -> ControlState:
    """Return what is live now."""
    async with ControlLog(settings.kafka_bootstrap_servers) as control:
        return control.state


async def test_from_the_log_to_a_model_that_is_live(settings: TrainerSettings) -> None:
    await publish(settings, [], courses())
    bootstrap = await bootstrap_once(settings)
    assert bootstrap.published and bootstrap.version.startswith("b-")
    assert (await decided(settings)).model_version == bootstrap.version
    assert load_model(BundleStore(settings.bundle_url).fetch(bootstrap.version)).bootstrap

    in_the_way = Path(settings.bundle_url, "file")
    in_the_way.write_text("no folder")
    await publish(settings, [], courses(50))
    with pytest.raises(TrainingError):
        await bootstrap_once(settings.model_copy(update={"bundle_url": str(in_the_way)}))
    assert (await decided(settings)).model_version == bootstrap.version

    await publish(settings, checkerboard())
    steps: list[float] = []
    first = await train_once(settings, progress=lambda _, fraction: steps.append(fraction))
    state = await decided(settings)
    assert first.published, first.reason
    assert state.model_version == first.version and state.models[first.version].promoted
    assert sum(first.offsets[LEARNER_EVENTS]) == len(checkerboard())
    assert first.offsets[COURSES] == [40 + 50]
    assert first.metrics["hr@10"] > first.champion_metrics["hr@10"] and "no champion yet" in first.reason
    assert state.models[first.version].record.popular_metrics == first.champion_metrics == first.popular_metrics
    assert steps == sorted(steps)
    manifest = verify(BundleStore(settings.bundle_url).fetch(first.version))
    assert (manifest.digest, manifest.offsets, manifest.seed) == (first.digest, first.offsets, settings.train_seed)

    again = await train_once(settings)
    assert again.digest == first.digest and "live already" in again.reason
    assert (await decided(settings)).model_epoch == state.model_epoch
    late = await bootstrap_once(settings)
    assert not late.published and first.version in late.reason


async def test_what_does_not_pass_the_gate_is_announced_and_not_live(settings: TrainerSettings) -> None:
    own = settings.model_copy(update={"train_dimensions": 16, "train_epochs": 6, "min_enrolments": 100})
    await publish(own, poison.PAST, poison.COURSES)
    good = await make_model(own, 1, False, None, no_progress)
    assert good.published and good.comparisons[0].low > 0, good.reason
    manifest = verify(BundleStore(own.bundle_url).fetch(good.version))
    assert manifest.comparisons == good.comparisons and manifest.config["train_epochs"] == 6

    await publish(own, poison.shuffled(poison.NEW))
    bad = await make_model(own, 1, False, None, no_progress)
    state = await decided(own)
    assert not bad.published and state.model_version == good.version
    assert state.refused[bad.version].record.reason == bad.reason
    assert state.refused[bad.version].record.comparisons == bad.comparisons != ()
    assert bad.champion_metrics["tests"] == bad.metrics["tests"] >= 100
    assert not Path(own.bundle_url, bad.version).exists()
    again = await make_model(own, 1, False, None, no_progress)
    assert again.version == bad.version and (await decided(own)).offset == state.offset

    Path(own.bundle_url, good.version, "neumf.npz").unlink()
    with pytest.raises(BundleError, match=f"the champion {good.version} cannot be loaded: .*--force"):
        await make_model(own, 1, False, None, no_progress)
    alone = await make_model(own, 1, True, None, no_progress)
    assert alone.published and alone.champion_metrics == alone.popular_metrics
    assert f"the champion {good.version} cannot be loaded" in alone.reason
    assert (await decided(own)).refused == {}


async def test_too_little_to_learn_from_is_said(shared: TrainerSettings) -> None:
    result = await make_model(shared, 1, False, 1_000, no_progress)
    assert (result.version, result.published) == ("", False)
    assert "0 enrolments are too few" in result.reason


async def test_what_the_stream_would_refuse_is_not_learnt_from(shared: TrainerSettings) -> None:
    servers = shared.kafka_bootstrap_servers
    before = await read_log(servers)
    good = [enrolled(f"good{i}", "c00", i) for i in range(20)]
    await publish(shared, good)
    future = enrolled("good1", "c01", round(time.time()) - START_S + 3_600)
    own = shard_of("good1", PARTITIONS)
    async with open_producer(servers) as producer:
        for value, shard in (
            (b"no event", 0),
            (None, 0),
            (encode_event(future), own),
            (encode_event(good[1]), (own + 1) % PARTITIONS),
        ):
            await producer.send_and_wait(LEARNER_EVENTS, value, key=b"good1", partition=shard)
        broken = await producer.send_and_wait(
            LEARNER_EVENTS, encode_event(enrolled("good1", "c02", 5)), key=b"good1", partition=own
        )
    await append_control(
        servers,
        RecordQuarantined(topic=LEARNER_EVENTS, partition=own, offset=broken.offset, reason="it broke the code"),
    )
    log = await read_log(servers)
    assert log.dead_letters - before.dead_letters == 5
    assert [event for event in log.events if event.user_id.startswith("good")] == log_of(good).events


async def test_who_is_erased_later_is_out_of_the_past_too(shared: TrainerSettings) -> None:
    servers = shared.kafka_bootstrap_servers
    await publish(shared, [enrolled("past-gone", "c00", 0), enrolled("past-stays", "c00", 0)])
    await asyncio.sleep(0.05)
    moment_ms = round(time.time() * 1_000)
    before = await read_log(servers, as_of_ms=moment_ms)
    assert "past-gone" in {event.user_id for event in before.events}
    await asyncio.sleep(0.05)
    assert not await holds_erased(servers, before)
    await publish(shared, [Erased(event_id="x", user_id="past-gone", occurred_at=START_S)])
    assert await holds_erased(servers, before)
    after = await read_log(servers, as_of_ms=moment_ms)
    assert after.events == [event for event in before.events if event.user_id != "past-gone"]
    assert after.offsets == before.offsets and not await holds_erased(servers, after)


async def test_a_model_made_while_a_learner_was_erased_is_made_again(
    settings: TrainerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving = iter([Erased(event_id=user, user_id=user, occurred_at=START_S) for user in ("u0", "u1", "u2", "u3")])
    logs: list[Log] = []
    erasing = 1

    def training(log: Log, *arguments: Any) -> Trained:
        if len(logs) < erasing:
            asyncio.run_coroutine_threadsafe(publish(settings, [next(leaving)]), loop).result(30)
        logs.append(log)
        return train_model(log, *arguments)

    async def made() -> TrainResult:
        return await asyncio.get_running_loop().run_in_executor(
            None, lambda: asyncio.run(make_model(settings, 1, False, None, no_progress))
        )

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(trainer.make, "train_model", training)
    await publish(settings, checkerboard(), courses())
    result = await made()
    assert result.published, result.reason
    assert [("u0" in {event.user_id for event in log.events}) for log in logs] == [True, False]
    assert (await decided(settings)).models.keys() == {result.version}
    assert result.offsets[LEARNER_EVENTS] == logs[-1].offsets[LEARNER_EVENTS]

    logs.clear()
    erasing = ATTEMPTS
    result = await made()
    assert len(logs) == ATTEMPTS, "where erasures never cease there is a model all the same"
    assert [sum(user in {event.user_id for event in log.events} for user in ("u1", "u2", "u3")) for log in logs] == [
        3,
        2,
        1,
    ]
    assert result.offsets[LEARNER_EVENTS] == logs[-1].offsets[LEARNER_EVENTS]


async def test_the_log_as_of_a_moment_is_what_had_been_appended_by_then(shared: TrainerSettings) -> None:
    servers = shared.kafka_bootstrap_servers
    await publish(shared, checkerboard(learners=20), courses(3))
    await asyncio.sleep(0.05)
    moment_ms = round(time.time() * 1_000)
    before = await read_log(servers)
    await asyncio.sleep(0.05)
    await publish(shared, checkerboard(learners=40, seed=3), courses(5))
    then = await read_log(servers, as_of_ms=moment_ms)
    assert (then.digest, then.offsets) == (before.digest, before.offsets)
    assert (await read_log(servers)).digest != before.digest
    assert (await read_log(servers, as_of_ms=1_000)).events == []


@asynccontextmanager
async def running_trainer(settings: TrainerSettings, ready_file: Path) -> AsyncIterator[Process]:
    """Run `python -m trainer` with these settings until left."""
    values = settings.model_copy(update={"ready_file": ready_file}).model_dump(mode="json", exclude_defaults=True)
    environment = {name.upper(): str(value) for name, value in values.items()}
    trainer = await asyncio.create_subprocess_exec(sys.executable, "-m", "trainer", env={**os.environ, **environment})
    try:
        yield trainer
    finally:
        if trainer.returncode is None:
            trainer.kill()
        await trainer.wait()


async def wait_for(what: str, holds: Callable[[], Awaitable[bool]], timeout_s: float = 60) -> None:
    """Wait until something holds."""
    give_up_at = time.monotonic() + timeout_s
    while not await holds():
        assert time.monotonic() < give_up_at, f"waited {timeout_s} s for {what}"
        await asyncio.sleep(0.05)


def children_of(pid: int) -> list[int]:
    """Return the processes that a process has started and not yet waited for."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_the_process_bootstraps_trains_refits_and_ends(settings: TrainerSettings, tmp_path: Path) -> None:
    async def ready() -> bool:
        return ready_file.exists() and ready_file.read_text().strip() == str(trainer.pid)

    async def bootstrapped() -> bool:
        return (await decided(settings)).model_version.startswith("b-")

    async def trained() -> bool:
        return (await decided(settings)).model_version.startswith("m-")

    async def idle() -> bool:
        return not children_of(trainer.pid)

    async def training() -> bool:
        return bool(children_of(trainer.pid))

    ready_file = tmp_path / "trainer.ready"
    async with running_trainer(settings, ready_file) as trainer:
        await wait_for("the trainer to follow", ready)
        await publish(settings, [], courses())
        await wait_for("the bootstrap bundle", bootstrapped)
        await publish(settings, checkerboard())
        await wait_for("the first model", trained)
        await wait_for("the end of the first training", idle)
        await append_control(settings.kafka_bootstrap_servers, RefitRequested())
        await wait_for("the refit that was asked for", training)
        (child,) = children_of(trainer.pid)
        trainer.send_signal(signal.SIGTERM)
        async with asyncio.timeout(3):
            assert await trainer.wait() == 0

    async def gone() -> bool:
        return not Path(f"/proc/{child}").exists()

    await wait_for("the end of the training under way", gone, timeout_s=5)
