"""The trainer's look at the log and the decisions: which requests a training has answered, when one is due again."""

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError

from schemas.control import ControlRecord, ModelPublished, ModelRefused, RefitEnded, RefitRequested, encode_control
from schemas.topics import LEARNER_EVENTS
from trainer import app
from trainer.app import LONGEST_RETRY_S, Decisions, Trainer
from trainer.result import TrainResult
from trainer.schedule import Job
from trainer.settings import TrainerSettings
from trainer.train import TrainingError


def _after(*records: ControlRecord) -> Decisions:
    decisions = Decisions("unused:1")
    for offset, record in enumerate(records):
        value = encode_control(record)
        decisions.take(
            ConsumerRecord(
                topic="control", partition=0, offset=offset, timestamp=1_000, timestamp_type=1, key=None, value=value,
                checksum=None, serialized_key_size=0, serialized_value_size=len(value), headers=(),
            )
        )  # fmt: skip
    return decisions


def test_a_request_is_open_until_a_training_that_began_later_says_so() -> None:
    asked, made = RefitRequested(force=True), ModelPublished(version="m", digest="d")
    assert _after(asked).request == asked
    assert _after(asked, made, ModelRefused(version="n", digest="d")).request == asked  # of a training before
    assert _after(asked, made, RefitEnded(requested=0, published=True)).request is None
    assert _after(asked, RefitRequested(), RefitEnded(requested=0, published=True)).request == RefitRequested()
    assert _after(asked, RefitRequested(), RefitEnded(requested=1, published=False)).request is None


def _trainer() -> Trainer:
    """Return a trainer whose log holds 5 records in each partition."""

    async def end_offsets(partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 5)

    reader: Any = SimpleNamespace(end_offsets=end_offsets)
    return Trainer(TrainerSettings(), Decisions("unused:1"), reader)


async def test_a_broker_that_tells_of_one_topic_and_then_of_none_is_asked_for_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers: Iterator[bool] = iter([True, False, True, True])

    async def partitions_of(_: AIOKafkaConsumer, topic: str) -> list[TopicPartition]:
        if not next(answers):
            raise KafkaConnectionError
        return [TopicPartition(topic, number) for number in range(2 if topic == LEARNER_EVENTS else 1)]

    monkeypatch.setattr(app, "partitions_of", partitions_of)
    trainer = _trainer()
    with pytest.raises(KafkaError):
        await trainer._look()
    await trainer._look()
    assert (trainer.schedule.events.count, trainer.schedule.courses.count) == (10, 5)


async def test_what_fails_is_tried_again_soon_and_then_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, fails = _trainer(), True

    async def make(*_: object, **__: object) -> TrainResult:
        if fails:
            raise TrainingError("it ended")
        return TrainResult(version="m-1", published=True, reason="")

    monkeypatch.setattr(trainer, "_make", make)
    pauses = []
    for _ in range(6):
        await trainer._do(Job.BOOTSTRAP)
        pauses.append(trainer.schedule.retry_at_s - time.monotonic())
    assert pauses == pytest.approx([5, 10, 20, 40, LONGEST_RETRY_S, LONGEST_RETRY_S], abs=2)
    fails = False
    await trainer._do(Job.BOOTSTRAP)
    fails = True
    await trainer._do(Job.BOOTSTRAP)
    assert trainer.schedule.retry_at_s - time.monotonic() == pytest.approx(5, abs=2)
